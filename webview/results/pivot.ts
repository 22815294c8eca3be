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
    return { name, cells, order: Math.max(...cells.map(values).filter(Number.isFinite)) };
  });
  // The weakest method first, as papers build up to their own.
  table.sort((a, b) => b.order - a.order);
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
  const { value, deviation } = summary;
  const base = rows.find(({ text }) => text.fullPrecision !== null)?.text.fullPrecision ?? null;
  const spread = deviation === null ? '' : ` ± ${deviation.toFixed(value < 100 ? 3 : 1)}`;
  const several = deviation === null ? strings.bestOf : strings.meanOf;
  return {
    text: `${formatPerplexity(value)}${spread}`,
    delta: base === null ? '' : formatDelta(value, base),
    from: rows.length === 1 ? '' : fill(several, rows.length),
    rows,
    best: value === least,
  };
}

/** Runs that differ in their seeds alone are one measurement with a spread; of others the best stands for all. */
function summarize(
  rows: readonly ResultRow[],
): { readonly value: number; readonly deviation: number | null } | null {
  const values = rows.map(({ text }) => text.quantized).filter((value) => value !== null);
  if (values.length === 0) return null;
  if (values.length === 1 || !differInSeedsOnly(rows)) return { value: Math.min(...values), deviation: null };
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return { value: mean, deviation: Math.sqrt(variance) };
}

function differInSeedsOnly(rows: readonly ResultRow[]): boolean {
  const seedless = (row: ResultRow): string =>
    JSON.stringify(Object.entries(row.run.settings).filter(([path]) => !/\.seed$/.test(path)));
  const seeds = (row: ResultRow): string =>
    JSON.stringify(Object.entries(row.run.settings).filter(([path]) => /\.seed$/.test(path)));
  return new Set(rows.map(seedless)).size === 1 && new Set(rows.map(seeds)).size === rows.length;
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
