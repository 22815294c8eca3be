import {
  averageBitsText,
  type MatrixTable,
  publishedHeading,
  publishedMetrics,
  publishedText,
  spreadText,
  type TableRow,
  tableNotes,
} from '../runs/index.ts';
import { formatTable } from './table.ts';

/** A matrix for the terminal; a star stands at the best of its bits. */
export function matrixTable(found: MatrixTable): string {
  const { columns, rows } = found;
  const published = publishedMetrics(found);
  const textOf = (row: TableRow, at: number): string => {
    const value = row.values[at];
    const column = columns[at];
    return value && column ? `${spreadText(column, value, row)}${row.best[at] ? ' *' : ''}` : '–';
  };
  const averages = rows.map(averageBitsText);
  const isMixed = averages.some((text) => text !== null);
  const table = formatTable(
    [
      'bits',
      ...(isMixed ? ['on average'] : []),
      'method',
      ...columns.map(({ title }) => title),
      ...published.map(publishedHeading),
    ],
    rows.map((row, index) => [
      row.bits,
      ...(isMixed ? [averages[index] ?? '–'] : []),
      row.title,
      ...columns.map((_, at) => textOf(row, at)),
      ...published.map((metric) => publishedText(row, metric)),
    ]),
    [
      'left',
      'left',
      ...(isMixed ? ['left' as const] : []),
      ...[...columns, ...published].map(() => 'left' as const),
    ],
  );
  return [table, ...tableNotes(found)].join('\n');
}
