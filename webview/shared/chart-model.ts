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

export interface RowsChange {
  /** Rows of before that stay, from the first on. */
  readonly keep: number;
  /** Rows behind them. */
  readonly insert: readonly Row[];
}

/** Finds the rows that are new: those behind the beginning that both have in common. */
export function changeOf(old: readonly Row[], rows: readonly Row[]): RowsChange {
  let keep = 0;
  while (keep < old.length && keep < rows.length && equalRows(old[keep]!, rows[keep]!)) keep++;
  return { keep, insert: rows.slice(keep) };
}

function equalRows(a: Row, b: Row): boolean {
  if (a === b) return true;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
