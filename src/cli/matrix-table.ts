import {
  limitNote,
  type MatrixTable,
  publishedHeading,
  publishedMetrics,
  publishedNotes,
  publishedText,
  spreadText,
  type TableRow,
} from '../runs/index.ts';
import { formatTable } from './table.ts';

/** A matrix for the terminal; a star stands at the best of its bits. */
export function matrixTable(found: MatrixTable): string {
  const { columns, rows } = found;
  const published = publishedMetrics(found);
  const limit = limitNote(found);
  const textOf = ({ values, best }: TableRow, at: number): string => {
    const value = values[at];
    const column = columns[at];
    return value && column ? `${spreadText(column, value)}${best[at] ? ' *' : ''}` : '–';
  };
  const table = formatTable(
    ['bits', 'method', ...columns.map(({ title }) => title), ...published.map(publishedHeading)],
    rows.map((row) => [
      row.bits,
      row.title,
      ...columns.map((_, at) => textOf(row, at)),
      ...published.map((metric) => publishedText(row, metric)),
    ]),
    ['left', 'left', ...[...columns, ...published].map(() => 'left' as const)],
  );
  const notes = rows.filter(({ note }) => note !== null);
  return [
    table,
    ...notes.map(({ bits, title, note }) => `${title} at ${bits}: ${note ?? ''}`),
    ...(limit === null ? [] : [limit]),
    ...publishedNotes(found),
  ].join('\n');
}
