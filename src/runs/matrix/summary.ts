/** A matrix as a table: rows by bits and method, columns by what is measured, with the spread over seeds. */
import { FULL_PRECISION_ROW } from '../../config/index.ts';
import type { TableCell } from './collect.ts';
import { type Measured, type Metric, measuredIn } from './measured.ts';
import { type Published, type PublishedValue, publishedOf } from './published/index.ts';

/** Values over seeds. */
export interface Spread {
  readonly mean: number;
  /** Sample standard deviation; null for one value. */
  readonly deviation: number | null;
  readonly min: number;
  readonly max: number;
  readonly n: number;
}

export interface TableRow {
  readonly bits: string;
  readonly method: string;
  readonly title: string;
  readonly cells: readonly TableCell[];
  /** For each column; null where nothing is measured yet. */
  readonly values: readonly (Spread | null)[];
  /** For each column, whether it is the best of its bits by more than the spread and the standard errors. */
  readonly best: readonly boolean[];
  /** Why numbers are missing; null where none are. */
  readonly note: string | null;
  /** What papers print for a model of the same sizes. */
  readonly published: readonly PublishedValue[];
}

export interface MatrixTable {
  readonly columns: readonly Metric[];
  readonly rows: readonly TableRow[];
  /** Where the published values are from; null where none are. */
  readonly published: Omit<Published, 'values'> | null;
}

/** @param published for the model of the cells; null for none. */
export function tableOf(cells: readonly TableCell[], published: Published | null = null): MatrixTable {
  const columns = columnsOf(cells);
  const groups = new Map<string, TableCell[]>();
  for (const cell of cells) {
    const key = JSON.stringify([cell.bits, cell.method]);
    groups.set(key, [...(groups.get(key) ?? []), cell]);
  }
  const rows = [...groups.values()].map((group) => rowOf(group, columns));
  return {
    columns,
    rows: rows.map((row) => {
      const { margins: _, ...shown } = row;
      const best = columns.map((_column, at) => isBest(row, rows, at, columns));
      return { ...shown, best, published: published ? publishedOf(published, row.bits, row.method) : [] };
    }),
    published: published && { source: published.source, model: published.model, metrics: published.metrics },
  };
}

/** The table with what was measured alone. */
export function withoutPublished(table: MatrixTable): MatrixTable {
  return { ...table, rows: table.rows.map((row) => ({ ...row, published: [] })), published: null };
}

interface MeasuredRow extends Omit<TableRow, 'best' | 'published'> {
  /** For each column, how near another value may come before nobody can tell the two apart. */
  readonly margins: readonly number[];
}

function columnsOf(cells: readonly TableCell[]): Metric[] {
  const found = new Map<string, Metric>();
  for (const { metric, name, title } of cells.flatMap(countedIn))
    found.set(`${metric} ${name}`, { metric, name, title });
  return [...found.values()];
}

/** Tables show one metric of each task. */
function countedIn(cell: TableCell): Measured[] {
  return measuredIn(cell).filter(({ counts }) => counts);
}

function rowOf(cells: readonly TableCell[], columns: readonly Metric[]): MeasuredRow {
  const [{ bits, method, title } = { bits: '', method: '', title: '' }] = cells;
  const measured = cells.map(measuredIn);
  const found = columns.map(({ metric, name }) =>
    measured.flatMap((ofCell) => ofCell.filter((one) => one.metric === metric && one.name === name)),
  );
  const values = found.map((ones) => (ones.length === 0 ? null : spreadOf(ones.map(({ value }) => value))));
  const margins = found.map((ones, at) => marginOf(ones, values[at]?.deviation ?? 0));
  return { bits, method, title, cells, values, margins, note: noteOf(cells) };
}

/**
 * The larger of the spread and the standard error of the questions, which seeds do not make smaller: they ask the same
 * ones. That of a single question is not known.
 */
function marginOf(ones: readonly Measured[], deviation: number): number {
  const errors = ones
    .filter(({ metric }) => metric !== 'perplexity')
    .map(({ standardError }) => standardError ?? Number.POSITIVE_INFINITY);
  return Math.max(deviation, ...errors);
}

/** Sample standard deviation. @param values at least one. */
export function spreadOf(values: readonly number[]): Spread {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = n > 1 ? Math.sqrt(squares / (n - 1)) : null;
  return { mean, deviation, min: Math.min(...values), max: Math.max(...values), n };
}

function noteOf(cells: readonly TableCell[]): string | null {
  const unfinished = cells.filter(({ status }) => status !== 'finished');
  const [first] = unfinished;
  if (!first) return null;
  const reason = first.message ?? WORDS[first.status];
  return unfinished.length === cells.length
    ? reason
    : `${unfinished.length} of ${cells.length} seeds: ${reason}`;
}

const WORDS: Readonly<Record<TableCell['status'], string>> = {
  finished: 'finished',
  running: 'running',
  failed: 'failed',
  stopped: 'stopped',
  missing: 'not computed yet',
  empty: 'cannot be computed',
};

/**
 * A row is the best of its bits where no other comes near it by the larger margin of the two. One draw of a seeded row
 * has an unknown spread.
 */
function isBest(
  row: MeasuredRow,
  rows: readonly MeasuredRow[],
  at: number,
  columns: readonly Metric[],
): boolean {
  const own = row.values[at];
  if (!own || row.method === FULL_PRECISION_ROW.name) return false;
  if (own.deviation === null && row.cells.some(({ seeded }) => seeded)) return false;
  const sign = columns[at]?.metric === 'perplexity' ? 1 : -1;
  const margin = ({ margins }: MeasuredRow): number => margins[at] ?? 0;
  const others = rows.filter((other) => other !== row && other.bits === row.bits);
  return others.every((other) => {
    const value = other.values[at];
    return !value || sign * (value.mean - own.mean) > Math.max(margin(row), margin(other));
  });
}
