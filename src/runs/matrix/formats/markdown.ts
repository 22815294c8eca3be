import { escapeMarkdown } from '../../../protocol/printable.ts';
import type { MatrixTable, TableRow } from '../summary.ts';
import { headingOf, spreadText } from './words.ts';

/** A table of GitHub's kind. */
export function markdown({ columns, rows }: MatrixTable): string {
  const head = ['bits W-A-KV', 'method', ...columns.map(headingOf)];
  const body = rows.map((row) => [row.bits, escapeMarkdown(row.title), ...valuesOf(row, columns.length)]);
  const rule = ['---', '---', ...columns.map(() => '--:')];
  const lines = [head, rule, ...body].map((cells) => `| ${cells.join(' | ')} |`);
  const notes = rows.filter(({ note }) => note !== null).map(noteOf);
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
