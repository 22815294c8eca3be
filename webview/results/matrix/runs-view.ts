import { fill } from '../../../src/protocol/panels/fill.ts';
import type { MatrixCell, MatrixRow, MatrixTable } from '../../../src/protocol/panels/matrix.ts';
import type { MatrixStrings } from '../../../src/protocol/panels/matrix-strings.ts';
import type { OpenTarget } from '../../../src/protocol/panels/results.ts';
import { button, h } from '../../shared/dom.ts';
import { formatBytes, formatSeconds } from '../../shared/format.ts';
import { heading, isMixed } from './table.ts';
import { formatValue } from './view.ts';

export interface RunsInput {
  readonly table: MatrixTable;
  readonly row: MatrixRow;
  readonly strings: MatrixStrings;
  open(run: string, what: OpenTarget): void;
  close(): void;
}

/** The runs behind a row of the table: what each seed gave, and the ways to its curve, layers and settings. */
export function runsView(input: RunsInput): HTMLElement {
  const { table, row, strings } = input;
  const title = fill(strings.detailTitle, row.bits, row.title);
  const withReasons = row.cells.some(({ message }) => message !== null);
  const head = [
    headCell(strings.seed),
    headCell(strings.state),
    ...table.columns.map((column) => headCell(heading(column, strings), 'number')),
    ...(isMixed(row) ? [headCell(strings.averageBits, 'number')] : []),
    headCell(strings.time, 'number'),
    headCell(strings.memory, 'number'),
    ...(withReasons ? [headCell(strings.reason)] : []),
    h('td', { role: 'cell' }),
  ];
  const body = row.cells.map((cell) => runRow(cell, withReasons, input));
  const caption = fill(strings.detailCaption, row.title, row.bits);
  return h(
    'section',
    { class: 'comparison', 'aria-labelledby': 'cell-runs-title' },
    h(
      'div',
      { class: 'row' },
      h('h2', { id: 'cell-runs-title' }, title),
      button(strings.close, input.close, { class: 'link', 'data-focus': 'close-runs' }),
    ),
    h(
      'div',
      { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
      h(
        'table',
        { class: 'results runs', role: 'table' },
        h('caption', { class: 'visually-hidden' }, caption),
        h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ...head)),
        h('tbody', { role: 'rowgroup' }, ...body),
      ),
    ),
  );
}

function runRow(
  cell: MatrixCell,
  withReasons: boolean,
  { table, row, strings, open }: RunsInput,
): HTMLElement {
  const { seed, seeded, status, values, seconds, peakBytes, message, run, averageBits, hasActivations } =
    cell;
  const name = seeded ? String(seed) : strings.notDrawn;
  const link = (what: OpenTarget, text: string) =>
    button(text, () => run !== null && open(run, what), {
      class: 'link',
      'aria-label': fill(strings.ofSeed, text, name),
      'data-focus': `${what} ${run ?? ''}`,
    });
  const links = [
    link('training', strings.curve),
    ...(hasActivations ? [link('layers', strings.layers)] : []),
    link('settings', strings.settings),
  ];
  return h(
    'tr',
    { role: 'row' },
    h('th', { scope: 'row', role: 'rowheader', 'data-label': strings.seed }, name),
    h('td', { role: 'cell' }, strings.status[status]),
    ...table.columns.map((column, at) =>
      numberCell(heading(column, strings), formatValue(values[at] ?? null, column.metric)),
    ),
    ...(isMixed(row) ? [numberCell(strings.averageBits, averageBits?.mixed.toFixed(3) ?? '–')] : []),
    numberCell(strings.time, seconds === null ? '–' : formatSeconds(seconds)),
    numberCell(strings.memory, peakBytes === null ? '–' : formatBytes(peakBytes)),
    ...(withReasons ? [h('td', { role: 'cell', class: 'reason' }, message ?? '')] : []),
    h('td', { role: 'cell', class: 'actions' }, ...(run === null ? [] : links)),
  );
}

// In a narrow panel, rows are drawn as paragraphs: roles keep the table, and labels its heads.

function headCell(text: string, className: string | null = null): HTMLElement {
  return h('th', { scope: 'col', role: 'columnheader', class: className }, text);
}

function numberCell(label: string, text: string): HTMLElement {
  return h('td', { role: 'cell', class: 'number', 'data-label': label }, text);
}
