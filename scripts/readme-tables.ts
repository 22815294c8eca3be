/**
 * Writes the measured tables of docs/results.md from bench/results: node --import tsx scripts/readme-tables.ts
 * A table stands between `<!-- table: NAME -->` and `<!-- /table -->`; nothing in it is written by hand.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type Curve,
  curveTable,
  memoryTable,
  roundingTable,
  type Sizes,
  type SmolLm2,
  sizesTable,
  smollm2Table,
} from './readme-sizes.ts';

const ROOT = join(import.meta.dirname, '..');
const RESULTS = join(ROOT, 'bench', 'results');
const DOCUMENT = join('docs', 'results.md');
const MODELS = ['demo', 'stories260K', 'stories3M'];

/** Perplexities by one way of rounding the weights. */
interface Rounded {
  readonly noRotation: number;
  readonly hadamard: readonly number[];
  readonly learners: Readonly<
    Record<
      string,
      readonly { readonly perplexity: number; readonly seconds: number; readonly peakBytes?: number }[]
    >
  >;
}

interface Quality extends Rounded {
  readonly name: string;
  readonly bits: string;
  readonly fullPrecision: number;
  readonly gptq: Rounded;
  readonly ablation: readonly {
    readonly name: string;
    readonly hadamard: number;
    readonly learned: number | null;
  }[];
}

interface StepTime {
  readonly label: string;
  readonly model: string;
  readonly secondsMedian: number;
  readonly secondsMin: number;
  readonly floorSeconds: number;
  readonly gemmGflops: number;
}

interface HadamardRow {
  readonly label: string;
  readonly kilobytes: number;
  readonly threads: number;
  readonly ratio: number;
}

function readResult<T>(name: string): T | null {
  const path = join(RESULTS, `${name}.json`);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as T) : null;
}

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '--:'))), ...rows.map(line)].join('\n');
}

const show = (value: number | null): string =>
  value === null ? '' : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
const precise = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(3));
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

function qualities(): Quality[] {
  return MODELS.map((name) => readResult<Quality>(`quality-${name}`)).filter((quality) => quality !== null);
}

/** Rows are methods, columns are models. */
function qualityTable(): string {
  const all = qualities();
  const learners = Object.keys(all[0]!.learners);
  const range = (values: readonly number[]) =>
    `${precise(Math.min(...values))} … ${precise(Math.max(...values))}`;
  const learned = (quality: Rounded, learner: string) => {
    const runs = quality.learners[learner]!;
    const best = Math.min(...quality.hadamard);
    const values = runs.map(({ perplexity }) => perplexity);
    const wins = values.filter((value) => value < best).length;
    const seconds = mean(runs.map((run) => run.seconds)).toFixed(0);
    const bytes = Math.max(...runs.map(({ peakBytes = 0 }) => peakBytes));
    const memory = bytes > 0 ? `, ${(bytes / 1e9).toFixed(2)} GB` : '';
    return `${range(values)}<br>${wins} of ${values.length} below the best draw, ${seconds} s${memory}`;
  };
  const rounded = (by: string, of: readonly Rounded[]) => [
    [`**${by}**`, ...of.map(() => '')],
    ['no rotation', ...of.map(({ noRotation }) => precise(noRotation))],
    ['random Hadamard, 10 draws', ...of.map(({ hadamard }) => range(hadamard))],
    ...learners.map((learner) => [`learned: ${learner}`, ...of.map((one) => learned(one, learner))]),
  ];
  const byGptq = all.map(({ gptq }) => gptq);
  return markdown(
    ['perplexity at W4A4KV4', ...all.map(({ name }) => name)],
    [
      ['full precision', ...all.map(({ fullPrecision }) => precise(fullPrecision))],
      ...rounded('weights to nearest', all),
      ...rounded('weights by GPTQ', byGptq),
    ],
  );
}

/** Rows are switches, columns are models, Hadamard (mean of three draws) → learned. */
function ablationTable(): string {
  const all = qualities();
  const rows = all[0]!.ablation.map(({ name }, index) => [
    name,
    ...all.map(({ ablation }) => {
      const { hadamard, learned } = ablation[index]!;
      return learned === null ? show(hadamard) : `${show(hadamard)} → ${show(learned)}`;
    }),
  ]);
  return markdown(['rotations', ...all.map(({ name }) => name)], rows);
}

function stepTable(): string {
  const rows = readResult<StepTime[]>('step')!;
  return markdown(
    [`one step of 8 × 256 tokens, ${rows[0]!.model}`, 'median', 'best', 'floor', 'best / floor'],
    rows.map(({ label, secondsMedian, secondsMin, floorSeconds }) => [
      label,
      `${secondsMedian.toFixed(2)} s`,
      `${secondsMin.toFixed(2)} s`,
      `${floorSeconds.toFixed(2)} s`,
      (secondsMin / floorSeconds).toFixed(2),
    ]),
  );
}

function hadamardTable(): string {
  const { rows } = readResult<{ rows: HadamardRow[] }>('hadamard')!;
  const sizes = [64, 1024, 4096, 65536];
  const labels = [...new Set(rows.map(({ label }) => label))];
  const near = (row: HadamardRow, size: number) =>
    Math.abs(row.kilobytes / size - 1) < 0.3 && row.threads === 1;
  return markdown(
    ['width', ...sizes.map((size) => (size < 1024 ? `${size} KB` : `${size / 1024} MB`))],
    labels.map((label) => [
      label,
      ...sizes.map((size) => {
        const row = rows.find((candidate) => candidate.label === label && near(candidate, size));
        return row ? row.ratio.toFixed(1) : '';
      }),
    ]),
  );
}

const TABLES: Readonly<Record<string, () => string>> = {
  quality: qualityTable,
  ablation: ablationTable,
  step: stepTable,
  hadamard: hadamardTable,
  sizes: () => sizesTable(readResult<Sizes>('sizes')!, markdown),
  memory: () => memoryTable(readResult<Sizes>('sizes')!, markdown),
  rounding: () => roundingTable(readResult<Sizes>('sizes')!, markdown),
  curve: () => curveTable(readResult<Curve>('curve')!, markdown),
  smollm2: () => smollm2Table(readResult<SmolLm2>('quality-smollm2')!, markdown),
};

/** The text with every marked table written again. */
export function withTables(text: string): string {
  return text.replace(/<!-- table: (\w+) -->\n[\s\S]*?<!-- \/table -->/g, (_, name: string) => {
    const table = TABLES[name];
    if (!table) throw new Error(`${DOCUMENT} asks for an unknown table: ${name}`);
    return `<!-- table: ${name} -->\n${table()}\n<!-- /table -->`;
  });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const path = join(ROOT, DOCUMENT);
  writeFileSync(path, withTables(readFileSync(path, 'utf8')));
}
