/** Tables as text for other programs. */
import type { ExportFormat } from '../../src/protocol/panels/results.ts';
import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { printable } from '../../src/protocol/printable.ts';
import { formatPerplexity } from '../shared/format.ts';
import type { Pivot } from './pivot.ts';
import type { ColumnModel, ResultRow } from './rows.ts';

export interface TextTable {
  /** Empty for none. */
  readonly title: string;
  readonly head: readonly { readonly title: string; readonly numeric: boolean }[];
  readonly rows: readonly (readonly string[])[];
}

export function flatTable(rows: readonly ResultRow[], columns: readonly ColumnModel[]): TextTable {
  return {
    title: '',
    head: columns.map(({ title, numeric }) => ({ title, numeric })),
    rows: rows.map((row) => columns.map(({ show }) => show(row))),
  };
}

export function pivotTable(pivot: Pivot, strings: ResultsStrings, withDelta: boolean): TextTable {
  const { columns, fullPrecisionMethod } = strings;
  const full = [fullPrecisionMethod, ...pivot.bits.map(() => formatPerplexity(pivot.fullPrecision))];
  return {
    title: pivot.title,
    head: [
      { title: columns.method, numeric: false },
      ...pivot.bits.map((title) => ({ title, numeric: true })),
    ],
    rows: [
      ...(pivot.fullPrecision === null ? [] : [full]),
      ...pivot.methods.map(({ name, cells }) => [
        name,
        ...cells.map((cell) => {
          if (!cell) return '–';
          return withDelta && cell.delta !== '' ? `${cell.text} (${cell.delta})` : cell.text;
        }),
      ]),
    ],
  };
}

export function exportTables(tables: readonly TextTable[], format: ExportFormat): string {
  const write = { markdown, latex, csv }[format];
  return `${tables.map(write).join('\n\n')}\n`;
}

function markdown({ title, head, rows }: TextTable): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeMarkdown).join(' | ')} |`;
  return [
    ...(title === '' ? [] : [`**${escapeMarkdown(title)}**`, '']),
    line(head.map((column) => column.title)),
    `| ${head.map(({ numeric }) => (numeric ? '---:' : ':---')).join(' | ')} |`,
    ...rows.map(line),
  ].join('\n');
}

/** Signs that act inside a cell, of CommonMark, of tables, and of what GitHub adds. Others stay as people read them. */
const escapeMarkdown = (text: string): string => oneLine(text).replace(/[\\|*_<>`[\]&~$]/g, '\\$&');

/** Names may hold line breaks, and characters that act. */
const oneLine = (text: string): string => printable(text.replace(/\s+/g, ' '));

/** Needs the booktabs package, which papers load anyway. */
function latex({ title, head, rows }: TextTable): string {
  const line = (cells: readonly string[]) => `  ${cells.map(escapeLatex).join(' & ')} \\\\`;
  return [
    ...(title === '' ? [] : [`% ${oneLine(title)}`]),
    `\\begin{tabular}{${head.map(({ numeric }) => (numeric ? 'r' : 'l')).join('')}}`,
    '  \\toprule',
    line(head.map((column) => column.title)),
    '  \\midrule',
    ...rows.map(line),
    '  \\bottomrule',
    '\\end{tabular}',
  ].join('\n');
}

const LATEX: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
  '<': '\\textless{}',
  '>': '\\textgreater{}',
  '|': '\\textbar{}',
  '−': '$-$',
  '±': '$\\pm$',
  '×': '$\\times$',
  Δ: '$\\Delta$',
  '–': '--',
  // Two in a row would become a dash.
  '-': '-{}',
};

/** The end of a row takes a star or a bracket after it for its own. */
function escapeLatex(text: string): string {
  return oneLine(text)
    .replace(/[\\~^<>|−±×Δ–&%$#_{}]|-(?=-)/g, (sign) => LATEX[sign] ?? `\\${sign}`)
    .replace(/^ *[*[]/, (sign) => `{${sign.trim()}}`);
}

/** RFC 4180. A cell that a spreadsheet would run as a formula gets an apostrophe; numbers stay numbers. */
function csv({ title, head, rows }: TextTable): string {
  const line = (cells: readonly string[]) => cells.map(csvCell).join(',');
  return [
    ...(title === '' ? [] : [csvCell(title)]),
    line(head.map((column) => column.title)),
    ...rows.map(line),
  ].join('\r\n');
}

function csvCell(text: string): string {
  const plain = printable(text)
    .replace(/^−(?=\d)/, '-')
    .replace(/^–$/, '');
  const safe = isFormula(plain) ? `'${plain}` : plain;
  return /[",;\t\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Wide signs count as well: some spreadsheets read them as the narrow ones. */
function isFormula(text: string): boolean {
  return /^\s*[=+\-@＝＋－＠]|^[\t\r\n]/.test(text) && !/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/.test(text);
}
