/** A matrix as a table: rows by bits and method, columns by what is measured, with the spread over seeds. */
import { type Doubt, type Spread, spreadOf } from '../../protocol/spread.ts';
import { bestOf, type Compared, marginOf } from './best.ts';
import type { TableCell } from './collect.ts';
import { type Measured, type Metric, measuredIn } from './measured.ts';
import { type Published, type PublishedValue, publishedOf } from './published/index.ts';

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

export interface Undecided {
  readonly bits: string;
  readonly column: Metric;
  readonly doubt: Doubt;
}

export interface MatrixTable {
  readonly columns: readonly Metric[];
  readonly rows: readonly TableRow[];
  /** Where no row is the best of its bits, though several are measured. */
  readonly undecided: readonly Undecided[];
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
  const found = [...new Set(rows.map(({ bits }) => bits))].flatMap((bits) =>
    columns.map((column, at) => ({
      ...{ bits, column },
      best: bestOf(
        rows.filter((row) => row.bits === bits),
        at,
        column,
      ),
    })),
  );
  const winners = found.flatMap(({ column, best }) =>
    best && 'row' in best ? [{ column, row: best.row }] : [],
  );
  return {
    columns,
    rows: rows.map((row) => {
      const { margins: _, ...shown } = row;
      const best = columns.map((column) => winners.some((one) => one.row === row && one.column === column));
      return { ...shown, best, published: published ? publishedOf(published, row.bits, row.method) : [] };
    }),
    undecided: found.flatMap(({ bits, column, best }) =>
      best && 'doubt' in best ? [{ bits, column, doubt: best.doubt }] : [],
    ),
    published: published && { source: published.source, model: published.model, metrics: published.metrics },
  };
}

/** The table with what was measured alone. */
export function withoutPublished(table: MatrixTable): MatrixTable {
  return { ...table, rows: table.rows.map((row) => ({ ...row, published: [] })), published: null };
}

type MeasuredRow = Omit<TableRow, 'best' | 'published'> & Compared;

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

function noteOf(cells: readonly TableCell[]): string | null {
  const unfinished = cells.filter(({ status }) => status !== 'finished');
  const [first] = unfinished;
  if (!first) return null;
  const reason = first.message ?? WORDS[first.status];
  return unfinished.length === cells.length
    ? reason
    : `${unfinished.length} of ${cells.length} seeds without numbers: ${reason}`;
}

const WORDS: Readonly<Record<TableCell['status'], string>> = {
  finished: 'finished',
  running: 'running',
  paused: 'paused',
  cancelled: 'cancelled',
  interrupted: 'interrupted',
  failed: 'failed',
  missing: 'not computed yet',
  empty: 'cannot be computed',
};
