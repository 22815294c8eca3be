import { fill } from '../../../src/protocol/panels/fill.ts';
import type {
  MatrixRow,
  MatrixTable,
  PublishedNumber,
  PublishedPart,
} from '../../../src/protocol/panels/matrix.ts';
import type { MatrixStrings } from '../../../src/protocol/panels/matrix-strings.ts';
import { button, h } from '../../shared/dom.ts';
import {
  averageBitsText,
  type Block,
  blocksOf,
  cellText,
  heading,
  isMixed,
  notesOf,
  stateOf,
  timeText,
} from './table.ts';

export interface MatrixTableInput {
  readonly table: MatrixTable;
  readonly name: string;
  readonly strings: MatrixStrings;
  /** Key of the row whose runs are listed; null for none. */
  readonly chosen: string | null;
  /** Whether published values stand beside the measured ones. */
  readonly published: boolean;
  choose(row: MatrixRow): void;
}

export const rowKey = ({ bits, method }: Pick<MatrixRow, 'bits' | 'method'>): string => `${bits} ${method}`;

/** Blocks of bits, in each a row for each method; every number leads to its runs. */
export function matrixTableView(input: MatrixTableInput): HTMLElement {
  const { table, name, strings } = input;
  // Before the first number there is a column for the state of the cells.
  const columns =
    table.columns.length === 0 ? [strings.state] : table.columns.map((column) => heading(column, strings));
  const notes = notesOf(table, strings);
  const published = publishedOf(input);

  return h(
    'div',
    { class: 'matrix-box' },
    h(
      'div',
      {
        class: 'scroll',
        tabindex: 0,
        role: 'region',
        'aria-label': fill(strings.caption, name),
        'data-scroll': 'matrix',
      },
      h(
        'table',
        { class: columns.length > 2 ? 'results pivot matrix many' : 'results pivot matrix' },
        h('caption', {}, h('span', {}, fill(strings.caption, name))),
        h('thead', {}, h('tr', {}, ...headOf(input, columns))),
        ...blocksOf(table).map((block) => blockView(block, columns.length, input)),
      ),
    ),
    ...table.remarks.map((remark) => h('p', { class: 'quiet' }, remark)),
    ...(table.exceptions.length === 0 ? [] : [notesView(table.exceptions, strings.exceptions)]),
    ...(notes.length === 0 ? [] : [notesView(notes, strings.notes)]),
    ...(published.notes.length === 0 ? [] : [notesView(published.notes, strings.publishedNotes)]),
  );
}

function headOf(input: MatrixTableInput, columns: readonly string[]): HTMLElement[] {
  const { table, strings } = input;
  const numbers = (titles: readonly string[], also = '') =>
    titles.map((title) => h('th', { scope: 'col', class: `number${also}` }, title));
  const { metrics } = publishedOf(input);
  const published = metrics.map((metric) => fill(strings.publishedColumn, strings.kinds[metric]));
  return [
    h('th', { scope: 'col', class: 'stay' }, strings.method),
    ...numbers(columns),
    ...numbers(published, ' published'),
    ...numbers([...(hasMixed(table) ? [strings.averageBits] : []), strings.time]),
  ];
}

function notesView(notes: readonly string[], title: string): HTMLElement {
  return h(
    'details',
    { class: 'quiet', open: notes.length <= 3 },
    h('summary', {}, `${title} (${notes.length})`),
    h('ul', {}, ...notes.map((note) => h('li', {}, note))),
  );
}

function blockView({ bits, rows }: Block, columns: number, input: MatrixTableInput): HTMLElement {
  const width = columns + publishedOf(input).metrics.length + (hasMixed(input.table) ? 3 : 2);
  const title = h('th', { scope: 'rowgroup', colspan: width, class: 'block' }, h('span', {}, bits));
  return h('tbody', {}, h('tr', {}, title), ...rows.map((row) => rowView(row, columns, input)));
}

function rowView(row: MatrixRow, columns: number, input: MatrixTableInput): HTMLElement {
  const chosen = input.chosen === rowKey(row);
  return h(
    'tr',
    { class: chosen ? 'selected' : null },
    h('th', { scope: 'row', class: 'stay' }, row.title),
    ...Array.from({ length: columns }, (_, at) => h('td', { class: 'number' }, cellButton(row, at, input))),
    ...publishedOf(input).metrics.map((_, at) => publishedCell(row.published[at] ?? null, input.strings)),
    ...(hasMixed(input.table) ? [h('td', { class: 'number quiet' }, averageBitsText(row))] : []),
    h('td', { class: 'number quiet' }, timeText(row)),
  );
}

const hasMixed = ({ rows }: MatrixTable): boolean => rows.some(isMixed);

const NOTHING_PUBLISHED: PublishedPart = { metrics: [], notes: [] };

/** What is shown of the published values. */
function publishedOf({ table, published }: MatrixTableInput): PublishedPart {
  return (published && table.published) || NOTHING_PUBLISHED;
}

/** A doubtful number has a sign, which tells the reason when it is pointed at, or read. */
function publishedCell(number: PublishedNumber | null, strings: MatrixStrings): HTMLElement {
  const cell = h('td', { class: 'number published' }, number?.text ?? '–');
  if (number === null || number.doubt === null) return cell;
  const reason = fill(strings.doubtful, number.doubt);
  cell.append(
    h('span', { class: 'doubt', title: reason, 'aria-hidden': 'true' }, ' (?)'),
    h('span', { class: 'visually-hidden' }, `, ${reason}`),
  );
  return cell;
}

function cellButton(row: MatrixRow, at: number, input: MatrixTableInput): HTMLElement {
  const { table, strings, choose, chosen } = input;
  const text = cellText(row, at, table.columns, strings);
  const value = row.values[at];
  const column = table.columns[at];
  const label = fill(
    strings.open,
    row.bits,
    row.title,
    column ? heading(column, strings) : strings.state,
    text,
  );
  const best = value?.best ?? false;
  const seeds = seedsText(row, value?.n ?? 0, strings);
  const element = button('', () => choose(row), {
    class: value ? 'cell' : `cell state state-${stateOf(row)}`,
    'data-focus': `cell ${rowKey(row)} ${at}`,
    // What is seen is part of it: people who speak to their computer say what they see.
    'aria-label': [seeds === null ? label : `${label} ${seeds}`, ...(best ? [strings.best] : [])].join(', '),
    'aria-expanded': String(chosen === rowKey(row)),
    'aria-controls': 'cell-runs',
  });
  element.append(best ? h('strong', {}, text) : text);
  if (seeds !== null) element.append(' ', h('span', { class: 'from' }, seeds));
  return element;
}

/** How many seeds a number is of; null where there is one alone. */
function seedsText({ cells }: MatrixRow, n: number, strings: MatrixStrings): string | null {
  if (n === 0 || cells.length < 2) return null;
  return n < cells.length ? fill(strings.seedsSoFar, n, cells.length) : fill(strings.seeds, n);
}
