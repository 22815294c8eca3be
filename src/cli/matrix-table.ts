import { type MatrixTable, spreadText, type TableRow } from '../runs/index.ts';
import { formatTable } from './table.ts';

/** A matrix for the terminal; a star stands at the best of its bits. */
export function matrixTable({ columns, rows }: MatrixTable): string {
  const textOf = ({ values, best }: TableRow, at: number): string => {
    const value = values[at];
    return value ? `${spreadText(value)}${best[at] ? ' *' : ''}` : '–';
  };
  const table = formatTable(
    ['bits', 'method', ...columns.map(({ name }) => name)],
    rows.map((row) => [row.bits, row.title, ...columns.map((_, at) => textOf(row, at))]),
    ['left', 'left', ...columns.map(() => 'left' as const)],
  );
  const notes = rows.filter(({ note }) => note !== null);
  return [table, ...notes.map(({ bits, title, note }) => `${title} at ${bits}: ${note ?? ''}`)].join('\n');
}
