/**
 * Makes a model of Llama-3.2-1B's or SmolLM2-135M's shape with random weights in a temporary folder, and runs of it by the
 * command line: W4A8KV16 without online transforms (no_had) and W4A8KV4 with them (had), weights rounded to nearest.
 *
 *     node --import tsx bench/whole/prepare.ts [FOLDER] [llama1b | smollm2]
 *
 * It takes 3.5 GB of disk, and prints the folders of the runs. What is there already stays.
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { LLAMA32_1B, SMOLLM2_135M, writeSynthetic } from '../sizes/synthetic.ts';
import { writeSyntheticTokenizer } from './synthetic-tokenizer.ts';

/** The name of a run's experiment, the bits of its keys and values, and whether R3 and R4 are there. */
const RUNS = [
  ['nohad-kv16', 16, false],
  ['had-kv4', 4, true],
] as const;

const SHAPES = { llama1b: LLAMA32_1B, smollm2: SMOLLM2_135M } as const;
type ShapeName = keyof typeof SHAPES;

const CLI = join(import.meta.dirname, '..', '..', 'dist', 'cli.js');

/** @returns the folders of the runs by name. */
export async function prepare(
  folder: string,
  name: ShapeName = 'llama1b',
): Promise<Readonly<Record<string, string>>> {
  const model = join(folder, 'model');
  writeSynthetic(model, SHAPES[name], false);
  if (!existsSync(join(model, 'tokenizer.json'))) writeSyntheticTokenizer(model, SHAPES[name].vocabulary);
  writeFileSync(join(folder, 'test.txt'), 'the quick brown fox jumps over the lazy dog '.repeat(20));
  const runs: [string, string][] = [];
  for (const [form, cache, online] of RUNS) {
    const run = `${name}-${form}`;
    runs.push([run, runOf(folder, run) ?? (await makeRun(folder, run, cache, online))]);
  }
  return Object.fromEntries(runs);
}

function runOf(folder: string, name: string): string | undefined {
  const runs = join(folder, 'runs');
  if (!existsSync(runs)) return undefined;
  const found = readdirSync(runs).find((it) => it.endsWith(`-${name}-evaluate`));
  return found && join(runs, found);
}

/** Measures a perplexity, which is of no interest, to have a run. */
async function makeRun(folder: string, name: string, cache: number, online: boolean): Promise<string> {
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
  const [, , given, asked = 'llama1b'] = process.argv;
  if (asked !== 'llama1b' && asked !== 'smollm2') throw new Error(`${asked} is neither llama1b nor smollm2`);
  const folder = given ?? join(tmpdir(), 'spinquant-bench', SHAPES[asked].name);
  console.log(JSON.stringify(await prepare(folder, asked), null, 2));
}
