/** The table of a matrix as the panel shows it. Knows nothing of the editor. */
import { FULL_PRECISION_BITS, FULL_PRECISION_ROW } from '../../../../config/index.ts';
import type {
  DepthRow,
  MatrixCell,
  MatrixColumn,
  MatrixRow,
  MatrixTable,
  MatrixValue,
} from '../../../../protocol/panels/matrix.ts';
import {
  countOf,
  type Metric,
  measuredIn,
  mixedNotes,
  publishedMetrics,
  publishedNotes,
  publishedNumber,
  type MatrixTable as RunsTable,
  remarksOf,
  type Spread,
  type TableCell,
  type TableRow,
} from '../../../../runs/index.ts';
import { finite } from '../../finite.ts';

export interface MatrixInput {
  readonly file: string;
  readonly table: RunsTable;
  /** Setting of bits whose layers are drawn. */
  readonly bits: string;
  readonly depth: readonly DepthRow[];
  /** Whether filling it measures activations and weights. */
  readonly statistics: boolean;
  /** Whether the run of a cell has statistics. */
  hasActivations(cell: TableCell): boolean;
}

export function matrixTable({
  file,
  table,
  bits,
  depth,
  statistics,
  hasActivations,
}: MatrixInput): MatrixTable {
  const metrics = publishedMetrics(table);
  return {
    file,
    columns: table.columns.map(columnOf),
    rows: table.rows.map((row) => matrixRow(row, table, hasActivations)),
    ...countOf(table.rows.flatMap((row) => row.cells)),
    published: metrics.length === 0 ? null : { metrics, notes: publishedNotes(table) },
    remarks: remarksOf(table),
    exceptions: mixedNotes(table),
    statistics,
    bits,
    depth,
  };
}

/** Each task is a column of its own, under its title; shares of questions are all accuracies. */
function columnOf({ metric, title }: Metric): MatrixColumn {
  return { metric: metric === 'perplexity' ? metric : 'accuracy', name: title };
}

function matrixRow(
  row: TableRow,
  table: RunsTable,
  hasActivations: MatrixInput['hasActivations'],
): MatrixRow {
  const { columns } = table;
  const { bits, method, title, cells, values, best } = row;
  return {
    bits,
    method,
    title,
    isFull: method === FULL_PRECISION_ROW.name,
    values: values.map((value, at) => value && matrixValue(value, best[at] ?? false)),
    cells: cells.map((cell) => matrixCell(cell, columns, hasActivations(cell))),
    published: publishedMetrics(table).map((metric) => publishedNumber(row, metric)),
  };
}

function matrixValue({ mean, deviation, n }: Spread, best: boolean): MatrixValue {
  return { mean: finite(mean), deviation: finite(deviation), n, best };
}

function matrixCell(cell: TableCell, columns: RunsTable['columns'], hasActivations: boolean): MatrixCell {
  const { seed, seeded, status, run, message, results, mixed } = cell;
  const averageBits = mixed && { mixed: mixed.mixed, uniform: mixed.uniform };
  const measured = measuredIn(cell);
  const values = columns.map(({ metric, name }) =>
    finite(measured.find((one) => one.metric === metric && one.name === name)?.value),
  );
  const cost = { seconds: finite(cell.seconds), peakBytes: finite(results?.peakBytes) };
  return { seed, seeded, status, run, message, values, ...cost, averageBits, hasActivations };
}

/** The settings of bits of a table besides full precision, in its order. */
export function bitSettings({ rows }: Pick<RunsTable, 'rows'>): string[] {
  return [...new Set(rows.map(({ bits }) => bits))].filter((bits) => bits !== FULL_PRECISION_BITS);
}
