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

/** A `tabular` with a rule between settings of bits, for booktabs. Notes are comments below. */
export function latex(table: MatrixTable): string {
  const { columns, rows } = table;
  const published = publishedMetrics(table);
  const width = columns.length + published.length;
  const lines = [`\\begin{tabular}{ll${'r'.repeat(width)}}`, '\\toprule'];
  lines.push(
    lineOf([
      'W-A-KV',
      'Method',
      ...columns.map((column) => escapeLatex(headingOf(column))),
      ...published.map(publishedHeading),
    ]),
    '\\midrule',
  );
  for (const [index, row] of rows.entries()) {
    if (index > 0 && rows[index - 1]?.bits !== row.bits) lines.push('\\midrule');
    lines.push(
      lineOf([
        row.bits,
        escapeLatex(row.title),
        ...valuesOf(row, columns),
        ...published.map((metric) => escapeLatex(publishedText(row, metric))),
      ]),
    );
  }
  const notes = tableNotes(table).flatMap((note) => note.split(/\r?\n/).map((line) => `% ${line}`));
  return [...lines, '\\bottomrule', '\\end{tabular}', ...notes].join('\n');
}

const lineOf = (cells: readonly string[]): string => `${cells.join(' & ')} \\\\`;

function valuesOf(row: TableRow, columns: readonly Metric[]): string[] {
  return columns.map((column, at) => {
    const value = row.values[at];
    if (!value) return '--';
    const text = spreadText(column, value, row, '$\\pm$');
    return row.best[at] ? `\\textbf{${text}}` : text;
  });
}

function escapeLatex(text: string): string {
  return text
    .replace(/\\/g, '\\textbackslash ')
    .replace(/[&%$#_{}]/g, '\\$&')
    .replace(/~/g, '\\textasciitilde ')
    .replace(/\^/g, '\\textasciicircum ')
    .replace(/–/g, '--');
}
