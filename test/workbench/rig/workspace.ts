import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { EXPERIMENT } from './names.ts';
import { ROOT } from './rig.ts';

const DEMO = join(ROOT, 'examples', 'demo');

export interface TestWorkspace {
  readonly folder: string;
  write(name: string, contents: unknown): void;
  remove(): void;
}

const BITS = { bits: 4 };

/** A temporary folder with the demo and a smaller experiment. */
export function createWorkspace(): TestWorkspace {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-lab-'));
  const write = (name: string, contents: unknown) =>
    writeFileSync(join(folder, name), `${JSON.stringify(contents, null, 2)}\n`);
  cpSync(DEMO, folder, { recursive: true, filter: (path) => basename(path) !== '.spinquant' });
  write(EXPERIMENT, {
    model: 'model',
    calibration: { text: 'calibration.txt', samples: 16, sequenceLength: 64 },
    quantization: { weights: BITS, activations: BITS, keys: BITS, values: BITS },
    rotation: { learning: { steps: 24, batchSize: 2 } },
    evaluation: { perplexity: [{ name: 'stories', text: 'test.txt', sequenceLength: 64, maxWindows: 4 }] },
    threads: 1,
  });
  return { folder, write, remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) };
}
