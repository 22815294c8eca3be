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
    escaped(row.title),
    ...valuesOf(row, columns.length),
    ...published.map((metric) => publishedText(row, metric)),
  ]);
  const rule = ['---', '---', ...[...columns, ...published].map(() => '--:')];
  const lines = [head, rule, ...body].map((cells) => `| ${cells.join(' | ')} |`);
  const notes = [
    ...rows.filter(({ note }) => note !== null).map(noteOf),
    ...publishedNotes(table).map((note) => `- ${escaped(note)}`),
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
  return `- ${escaped(`${title} at ${bits}: ${note ?? ''}`)}`;
}

/** Text of a person in a cell: signs of Markdown and HTML stay what they are. */
function escaped(text: string): string {
  return text.replace(/[\\|*_`<[]/g, '\\$&');
}
