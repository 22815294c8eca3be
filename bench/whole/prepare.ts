/**
 * Makes a model of Llama-3.2-1B's shape with random weights in a temporary folder, and runs of it by the command line:
 * W4A8KV16 without online transforms (no_had) and W4A8KV4 with them (had), weights rounded to nearest.
 *
 *     node --import tsx bench/whole/prepare.ts [FOLDER]
 *
 * It takes 2.5 GB of disk, and prints the folders of the runs. What is there already stays.
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { LLAMA32_1B, writeSynthetic } from '../sizes/synthetic.ts';
import { writeSyntheticTokenizer } from './synthetic-tokenizer.ts';

/** The name of a run's experiment, the bits of its keys and values, and whether R3 and R4 are there. */
const RUNS = [
  ['llama1b-nohad-kv16', 16, false],
  ['llama1b-had-kv4', 4, true],
] as const;

const CLI = join(import.meta.dirname, '..', '..', 'dist', 'cli.js');

/** @returns the folders of the runs by name. */
export async function prepare(folder: string): Promise<Readonly<Record<string, string>>> {
  const model = join(folder, 'model');
  writeSynthetic(model, LLAMA32_1B, false);
  if (!existsSync(join(model, 'tokenizer.json'))) writeSyntheticTokenizer(model, LLAMA32_1B.vocabulary);
  writeFileSync(join(folder, 'test.txt'), 'the quick brown fox jumps over the lazy dog '.repeat(20));
  const runs: [string, string][] = [];
  for (const run of RUNS) runs.push([run[0], runOf(folder, run[0]) ?? (await makeRun(folder, run))]);
  return Object.fromEntries(runs);
}

function runOf(folder: string, name: string): string | undefined {
  const runs = join(folder, 'runs');
  if (!existsSync(runs)) return undefined;
  const found = readdirSync(runs).find((it) => it.endsWith(`-${name}-evaluate`));
  return found && join(runs, found);
}

/** Measures a perplexity, which is of no interest, to have a run. */
async function makeRun(folder: string, [name, cache, online]: (typeof RUNS)[number]): Promise<string> {
  const file = join(folder, `${name}.spinquant.json`);
  const experiment = {
    model: 'model',
    quantization: {
      weights: { bits: 4, method: 'rtn' },
      activations: { bits: 8 },
      keys: { bits: cache },
      values: { bits: cache },
    },
    rotation: { r1: 'hadamard', r2: 'hadamard', r3: online && cache < 16, r4: online },
    evaluation: { perplexity: [{ name: 'words', text: 'test.txt', sequenceLength: 32, maxWindows: 1 }] },
    runs: 'runs',
    memoryLimit: 4,
  };
  writeFileSync(file, JSON.stringify(experiment));
  const words = [CLI, 'evaluate', file, '--keep', '--integer', '--json'];
  const { run } = JSON.parse(await wholeJson(words)) as { run: string };
  return run;
}

/** A document of the command line stands on several lines. */
async function wholeJson(words: readonly string[]): Promise<string> {
  return (await promisify(execFile)(process.execPath, words, { maxBuffer: 1 << 26 })).stdout;
}

if (process.argv[1] === import.meta.filename) {
  const folder = process.argv[2] ?? join(tmpdir(), 'spinquant-bench', LLAMA32_1B.name);
  console.log(JSON.stringify(await prepare(folder), null, 2));
}
