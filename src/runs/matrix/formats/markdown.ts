import { escapeMarkdown } from '../../../protocol/printable.ts';
import type { MatrixTable, TableRow } from '../summary.ts';
import {
  headingOf,
  publishedHeading,
  publishedMetrics,
  publishedNotes,
  publishedText,
  spreadText,
} from './words.ts';

/** A table of GitHub's kind. */
export function markdown(table: MatrixTable): string {
  const { columns, rows } = table;
  const published = publishedMetrics(table);
  const head = ['bits W-A-KV', 'method', ...columns.map(headingOf), ...published.map(publishedHeading)];
  const body = rows.map((row) => [
    row.bits,
    escapeMarkdown(row.title),
    ...valuesOf(row, columns.length),
    ...published.map((metric) => publishedText(row, metric)),
  ]);
  const rule = ['---', '---', ...[...columns, ...published].map(() => '--:')];
  const lines = [head, rule, ...body].map((cells) => `| ${cells.join(' | ')} |`);
  const notes = [
    ...rows.filter(({ note }) => note !== null).map(noteOf),
    ...publishedNotes(table).map((note) => `- ${escapeMarkdown(note)}`),
  ];
  return [...lines, ...(notes.length > 0 ? ['', ...notes] : [])].join('\n');
}

function valuesOf({ values, best }: TableRow, columns: number): string[] {
  return Array.from({ length: columns }, (_, at) => {
    const value = values[at];
    if (!value) return '–';
    const text = spreadText(value);
    return best[at] ? `**${text}**` : text;
  });
}

function noteOf({ bits, title, note }: TableRow): string {
  return `- ${escapeMarkdown(`${title} at ${bits}: ${note ?? ''}`)}`;
}
