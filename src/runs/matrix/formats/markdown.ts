import type { Metric } from '../measured.ts';
import type { MatrixTable, TableRow } from '../summary.ts';
import {
  headingOf,
  publishedHeading,
  publishedMetrics,
  publishedText,
  spreadText,
  tableNotes,
} from './words.ts';

/** A table of GitHub's kind. */
export function markdown(table: MatrixTable): string {
  const { columns, rows } = table;
  const published = publishedMetrics(table);
  const head = ['bits W-A-KV', 'method', ...columns.map(headingOf), ...published.map(publishedHeading)];
  const body = rows.map((row) => [
    row.bits,
    escaped(row.title),
    ...valuesOf(row, columns),
    ...published.map((metric) => publishedText(row, metric)),
  ]);
  const rule = ['---', '---', ...[...columns, ...published].map(() => '--:')];
  const lines = [head, rule, ...body].map((cells) => `| ${cells.join(' | ')} |`);
  const notes = tableNotes(table).map((note) => `- ${escaped(note)}`);
  return [...lines, ...(notes.length > 0 ? ['', ...notes] : [])].join('\n');
}

function valuesOf(row: TableRow, columns: readonly Metric[]): string[] {
  return columns.map((column, at) => {
    const value = row.values[at];
    if (!value) return '–';
    const text = spreadText(column, value, row);
    return row.best[at] ? `**${text}**` : text;
  });
}

/** Text of a person in a cell: signs of Markdown and HTML stay what they are. */
function escaped(text: string): string {
  return text.replace(/[\\|*_`<[]/g, '\\$&');
}
