import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { temporaryFolder } from '../formats/support.ts';

const MODELS = join(import.meta.dirname, '..', 'goldens', 'models');

/** Tiny random models made by transformers: scripts/goldens/make_architectures.py. */
export const GOLDEN_NAMES = [
  'llama',
  'llama3-scaled-tied',
  'llama-biases-linear',
  'mistral-window-sharded',
  'qwen2',
  'qwen2-window',
  'qwen3',
] as const;

export interface GoldenLogits {
  readonly ids: readonly number[];
  /** float64 [ids, vocabulary] */
  readonly logits: readonly (readonly number[])[];
  readonly float32MaxDifference: number;
  /** float32 tables of transformers, [positions, headDim/2] */
  readonly rope: {
    readonly positions: readonly number[];
    readonly cos: readonly (readonly number[])[];
    readonly sin: readonly (readonly number[])[];
  };
}

export function goldenFolder(name: string): string {
  return join(MODELS, name);
}

export function readGolden(name: string): GoldenLogits {
  return JSON.parse(readFileSync(join(MODELS, name, 'logits.json'), 'utf8')) as GoldenLogits;
}

/** A copy of a golden model that a test may damage. */
export function copyGolden(t: TestContext, name: string): string {
  const dir = join(temporaryFolder(t), name);
  cpSync(goldenFolder(name), dir, { recursive: true });
  return dir;
}

/** Changes keys of a JSON file; undefined removes a key. */
export function editJson(path: string, changes: Readonly<Record<string, unknown>>): void {
  const before = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...before, ...changes }));
}
