/** Methods × bits, as papers print their tables. */
import { fill } from '../../src/protocol/panels/fill.ts';
import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { formatDelta, formatPerplexity } from '../shared/format.ts';
import { bitsOrder, groundOf, type ResultRow, textTitle } from './rows.ts';

export interface PivotCell {
  /** `5.944`, or `5.991 ± 0.031` over seeds. */
  readonly text: string;
  /** `+0.472`; empty where there is nothing to subtract. */
  readonly delta: string;
  /** The way from several runs to one number; empty for one. */
  readonly from: string;
  readonly rows: readonly ResultRow[];
  /** The least of its column. */
  readonly best: boolean;
}

export interface Pivot {
  /** Model and text, which all cells share. */
  readonly title: string;
  /** Bits, many first. */
  readonly bits: readonly string[];
  readonly methods: readonly { readonly name: string; readonly cells: readonly (PivotCell | null)[] }[];
  readonly fullPrecision: number | null;
}

/** One table for each model and text. */
export function pivots(rows: readonly ResultRow[], strings: ResultsStrings): Pivot[] {
  const grounds = groupBy(
    rows.filter(({ text }) => text.quantized !== null),
    groundOf,
  );
  return [...grounds.values()].map((group) => pivot(group, strings));
}

function pivot(rows: readonly ResultRow[], strings: ResultsStrings): Pivot {
  const bits = [...new Set(rows.map(({ run }) => run.paperBits))].sort((a, b) =>
    bitsOrder(a).localeCompare(bitsOrder(b)),
  );
  const columns = bits.map((column) => rows.filter(({ run }) => run.paperBits === column));
  const methods = [...new Set(rows.map(({ run }) => run.method))];
  const values = (inCell: readonly ResultRow[]) => summarize(inCell)?.value ?? Number.POSITIVE_INFINITY;
  const table = methods.map((name) => {
    const cells = columns.map((column) => column.filter(({ run }) => run.method === name));
    const measured = cells.filter((inCell) => summarize(inCell) !== null).map(values);
    return { name, cells, order: Math.max(...measured) };
  });
  // The weakest method first, as papers build up to their own.
  table.sort((a, b) => (a.order === b.order ? 0 : b.order - a.order));
  const least = columns.map((_, column) => Math.min(...table.map(({ cells }) => values(cells[column]!))));
  const first = rows[0]!;
  return {
    title: `${first.run.model} · ${textTitle(first.text, strings)}`,
    bits,
    fullPrecision: rows.find(({ text }) => text.fullPrecision !== null)?.text.fullPrecision ?? null,
    methods: table.map(({ name, cells }) => ({
      name,
      cells: cells.map((inCell, column) => cell(inCell, least[column]!, strings)),
    })),
  };
}

function cell(rows: readonly ResultRow[], least: number, strings: ResultsStrings): PivotCell | null {
  const summary = summarize(rows);
  if (!summary) return null;
  const { value, deviation, samples } = summary;
  const base = rows.find(({ text }) => text.fullPrecision !== null)?.text.fullPrecision ?? null;
  const spread = deviation === null ? '' : ` ± ${deviation.toFixed(value < 100 ? 3 : 1)}`;
  const several = deviation === null ? strings.bestOf : strings.meanOf;
  return {
    text: `${formatPerplexity(value)}${spread}`,
    delta: base === null ? '' : formatDelta(value, base),
    from: samples === 1 ? '' : fill(several, samples),
    rows,
    best: Number.isFinite(value) && value === least,
  };
}

interface Summary {
  readonly value: number;
  /** Null where it is the least of several, or the only one. */
  readonly deviation: number | null;
  readonly samples: number;
}

/** Samples that differ in their seeds alone are one measurement with a spread; of others the best stands for all. */
function summarize(rows: readonly ResultRow[]): Summary | null {
  const samples = samplesOf(rows.filter(({ text }) => text.quantized !== null));
  const values = samples.map(({ text }) => text.quantized!);
  if (values.length === 0) return null;
  const least = { value: Math.min(...values), deviation: null, samples: values.length };
  if (values.length === 1 || !differInSeedsOnly(samples)) return least;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (!Number.isFinite(mean)) return least;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return { value: mean, deviation: Math.sqrt(variance), samples: values.length };
}

/** Of runs that measured the same, the newest stands for all: measuring again makes no other sample. */
function samplesOf(rows: readonly ResultRow[]): ResultRow[] {
  const groups = groupBy(rows, ({ run: { sample } }) =>
    JSON.stringify([sample.setting, sample.seeds, sample.rotations]),
  );
  return [...groups.values()].map((same) =>
    same.reduce((newest, row) => (row.run.startedAt > newest.run.startedAt ? row : newest)),
  );
}

function differInSeedsOnly(samples: readonly ResultRow[]): boolean {
  const different = (of: (row: ResultRow) => string) => new Set(samples.map(of)).size;
  return (
    different(({ run }) => run.sample.setting) === 1 &&
    different(({ run }) => run.sample.seeds) === samples.length
  );
}

function groupBy(
  rows: readonly ResultRow[],
  key: (row: ResultRow) => string,
): ReadonlyMap<string, ResultRow[]> {
  const groups = new Map<string, ResultRow[]>();
  for (const row of rows) {
    const group = groups.get(key(row));
    if (group) group.push(row);
    else groups.set(key(row), [row]);
  }
  return groups;
}
