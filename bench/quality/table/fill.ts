/** Fills the tables of docs/quality.md by the command line, cell by cell. */
import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ExperimentInput } from '../../../src/config/schema.ts';
import { keyOf } from './merge.ts';
import { type QualityModel, WORK, written } from './models.ts';
import { BEST_ROWS, QUALITY_ROWS, TABLE_ROWS } from './rows.ts';

const CLI = join(import.meta.dirname, '..', '..', '..', 'dist', 'cli.js');
export const SEEDS: readonly number[] = [0, 1, 2];
const TASKS = ['arc_easy', 'piqa', 'winogrande'] as const;
const QUESTIONS = 200;

/** A number of a table, as `spinquant table --format json` writes it. */
export interface Entry {
  readonly method: string;
  readonly title: string;
  readonly bits: string;
  readonly seed: number | null;
  readonly metric: string;
  readonly name: string;
  readonly value: number | null;
  readonly seconds: number | null;
  readonly peakBytes: number | null;
}

export interface Filled {
  readonly model: string;
  readonly title: string;
  readonly entries: readonly Entry[];
}

/** A part of the table: the others are left as they are. */
export interface Part {
  readonly rows: readonly string[];
  readonly seeds: readonly number[];
}

/** Perplexity of rows at W4A4KV4; of the best ones at W4A8KV8, too, and on tasks where the model is asked any. */
export async function fill(model: QualityModel, { rows, seeds }: Part): Promise<Filled> {
  const chosen = (all: readonly string[]): string[] => all.filter((row) => rows.includes(row));
  const matrix = (bits: readonly string[], all: readonly string[]) => ({
    whole: withTasks(model, matrixOf(model, bits, all, SEEDS), all !== TABLE_ROWS),
    part: withTasks(model, matrixOf(model, bits, chosen(all), seeds), all !== TABLE_ROWS),
  });
  const entries = await filled(`${model.name}-quality`, matrix(['4-4-4'], TABLE_ROWS));
  const more = await filled(`${model.name}-quality-best`, matrix(['4-8-8', '4-4-4'], BEST_ROWS));
  const known = new Set(entries.map(keyOf));
  return {
    model: model.name,
    title: model.title,
    entries: [...entries, ...more.filter((entry) => !known.has(keyOf(entry)))],
  };
}

function matrixOf(
  model: QualityModel,
  bits: readonly string[],
  methods: readonly string[],
  seeds: readonly number[],
): ExperimentInput {
  const { gptqSamples: samples, shared } = model;
  const rows = QUALITY_ROWS.map(({ name, title, like, quantization, rotation, scaling }) => {
    const gptq = { samples, ...quantization.weights?.gptq };
    return {
      name,
      title,
      like,
      settings: {
        quantization: { ...quantization, weights: { ...quantization.weights, gptq } },
        ...(rotation && { rotation }),
        ...(scaling && { scaling }),
      },
    };
  });
  return {
    ...shared,
    quantization: { weights: { gptq: { samples } } },
    runs: join(WORK, `${model.name}-runs`),
    matrix: { bits: [...bits], methods: [...methods], seeds: [...seeds], rows },
  };
}

function withTasks({ tasks }: QualityModel, experiment: ExperimentInput, asks: boolean): ExperimentInput {
  if (tasks === null || !asks) return experiment;
  const asked = TASKS.map((task) => ({ task, data: join(tasks, task), limit: QUESTIONS }));
  return { ...experiment, evaluation: { ...experiment.evaluation, tasks: asked } };
}

async function filled(
  name: string,
  { whole, part }: Readonly<Record<'whole' | 'part', ExperimentInput>>,
): Promise<readonly Entry[]> {
  if (part.matrix?.methods?.length) await run('optimize', written(`${name}-part`, part));
  return (await tableOf(written(name, whole))).filter(({ value }) => value !== null);
}

async function tableOf(file: string): Promise<readonly Entry[]> {
  const words = [CLI, 'table', file, '--format', 'json'];
  const { stdout } = await promisify(execFile)(process.execPath, words, { maxBuffer: 1 << 26 });
  return (JSON.parse(stdout) as { cells: Entry[] }).cells;
}

/** @throws Error with the exit code of a command that failed. */
function run(...words: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CLI, ...words], { stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', reject);
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${words.join(' ')}: ${code}`))));
  });
}
