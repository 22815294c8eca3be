import type { TopLevelSpec } from 'vega-lite';

export type ChartSpec = TopLevelSpec;
export type Row = Readonly<Record<string, string | number | boolean | null>>;

export type Signals = Readonly<Record<string, number | string | readonly number[]>>;

/** A chart as a pure function of the panel's state. */
export interface ChartModel {
  /** Structure only: what changes with every step comes as data and signals, so that the chart is not built again. */
  readonly spec: ChartSpec;
  /** Rows by the name of the data set in the spec. */
  readonly data: Readonly<Record<string, readonly Row[]>>;
  /** Values of the spec's parameters. */
  readonly signals: Signals;
  /** The chart in words, for those who do not see it. */
  readonly summary: string;
  /** Present value beside the title. */
  readonly readout: string;
  /** A sentence under the chart; empty for none. */
  readonly note: string;
}

/** The same numbers as a table. */
export interface TableModel {
  readonly caption: string;
  readonly columns: readonly { readonly title: string; readonly numeric: boolean }[];
  readonly rows: readonly (readonly string[])[];
}

/** Finds the rows that are new: the tail, when the old rows are its beginning; else everything. */
export function changeOf(
  old: readonly Row[],
  rows: readonly Row[],
): { readonly replace: boolean; readonly insert: readonly Row[] } {
  const isTail = rows.length >= old.length && old.every((row, index) => equalRows(row, rows[index]!));
  return isTail ? { replace: false, insert: rows.slice(old.length) } : { replace: true, insert: rows };
}

function equalRows(a: Row, b: Row): boolean {
  if (a === b) return true;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
