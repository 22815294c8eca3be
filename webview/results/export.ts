/** Tables as text for other programs. */
import type { ExportFormat } from '../../src/protocol/panels/results.ts';
import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { printable } from '../../src/protocol/printable.ts';
import { formatPerplexity } from '../shared/format.ts';
import type { ColumnModel } from './columns.ts';
import type { Pivot, PivotCell } from './pivot.ts';
import type { ResultRow } from './rows.ts';

export interface TextTable {
  /** Empty for none. */
  readonly title: string;
  readonly head: readonly { readonly title: string; readonly numeric: boolean }[];
  readonly rows: readonly (readonly string[])[];
  /** Places of cells that are the best beyond doubt: row and column. */
  readonly best?: readonly (readonly [row: number, column: number])[];
  /** Sentences below it. */
  readonly notes?: readonly string[];
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
      ...pivot.methods.map(({ name, detail, cells }) => [
        detail === '' ? name : `${name} (${detail})`,
        ...cells.map((cell) => (cell === null ? '–' : cellText(cell, withDelta))),
      ]),
    ],
    best: pivot.methods.flatMap(({ cells }, index) =>
      cells.flatMap((cell, column) =>
        cell?.best ? [[index + (pivot.fullPrecision === null ? 0 : 1), column + 1] as const] : [],
      ),
    ),
    notes: pivot.notes,
  };
}

/** `5.991 ± 0.031 (3) [+0.472]`: of how many, and how far from full precision. */
function cellText({ text, spread, delta }: PivotCell, withDelta: boolean): string {
  const count = spread.n > 1 ? ` (n = ${spread.n})` : '';
  return `${text}${count}${withDelta && delta !== '' ? ` (${delta})` : ''}`;
}

export function exportTables(tables: readonly TextTable[], format: Exclude<ExportFormat, 'csv'>): string {
  const write = { markdown, latex }[format];
  return `${tables.map(write).join('\n\n')}\n`;
}

/** The cells of a row as text of a format, the best ones strong. */
function cellsOf(
  { rows, best = [] }: TextTable,
  escapeText: (text: string) => string,
  strong: (text: string) => string,
): string[][] {
  return rows.map((cells, row) =>
    cells.map((text, column) => {
      const isBest = best.some(([bestRow, bestColumn]) => bestRow === row && bestColumn === column);
      return isBest ? strong(escapeText(text)) : escapeText(text);
    }),
  );
}

function markdown(table: TextTable): string {
  const { title, head, notes = [] } = table;
  const line = (cells: readonly string[]) => `| ${cells.map(escapeMarkdown).join(' | ')} |`;
  return [
    ...(title === '' ? [] : [`**${escapeMarkdown(title)}**`, '']),
    line(head.map((column) => column.title)),
    `| ${head.map(({ numeric }) => (numeric ? '---:' : ':---')).join(' | ')} |`,
    ...cellsOf(table, escapeMarkdown, (text) => `**${text}**`).map((cells) => `| ${cells.join(' | ')} |`),
    ...(notes.length > 0 ? ['', ...notes.map((note) => `- ${escapeMarkdown(note)}`)] : []),
  ].join('\n');
}

/** Signs that act inside a cell, of CommonMark, of tables, and of what GitHub adds. Others stay as people read them. */
const escapeMarkdown = (text: string): string => oneLine(text).replace(/[\\|*_<>`[\]&~$]/g, '\\$&');

/** Names may hold line breaks, and characters that act. */
const oneLine = (text: string): string => printable(text.replace(/\s+/g, ' '));

/** Needs the booktabs package, which papers load anyway. */
function latex(table: TextTable): string {
  const { title, head, notes = [] } = table;
  const line = (cells: readonly string[]) => `  ${cells.map(escapeLatex).join(' & ')} \\\\`;
  return [
    ...(title === '' ? [] : [`% ${oneLine(title)}`]),
    `\\begin{tabular}{${head.map(({ numeric }) => (numeric ? 'r' : 'l')).join('')}}`,
    '  \\toprule',
    line(head.map((column) => column.title)),
    '  \\midrule',
    ...cellsOf(table, escapeLatex, (text) => `\\textbf{${text}}`).map(
      (cells) => `  ${cells.join(' & ')} \\\\`,
    ),
    '  \\bottomrule',
    '\\end{tabular}',
    ...notes.map((note) => `% ${oneLine(note)}`),
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
