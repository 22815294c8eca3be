/** One row of the table of runs. What it does is asked for by `data-act`, which the table listens for. */
import { fill } from '../../src/protocol/panels/fill.ts';
import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { h } from '../shared/dom.ts';
import type { ColumnModel } from './columns.ts';
import { originText, type ResultRow } from './rows.ts';

/** What a control of a row asks for. */
export const ROW_ACTS = ['select', 'star', 'run', 'experiment', 'training', 'layers', 'generate'] as const;
export type RowAct = (typeof ROW_ACTS)[number];

export interface RowInput {
  readonly row: ResultRow;
  readonly columns: readonly ColumnModel[];
  readonly best: boolean;
  readonly strings: ResultsStrings;
}

/** Tells whether a row that was drawn before says the same. */
export function rowSignature({ row, columns, best, strings }: RowInput): string {
  const { run, text } = row;
  const cells = columns.map((column) => column.show(row));
  const drawn = [run.starred, run.steps > 0, run.hasActivations, text.seen, best, originText(run, strings)];
  return JSON.stringify([cells, columns.map(({ id }) => id), drawn]);
}

export function rowElement(input: RowInput): HTMLTableRowElement {
  const { row, columns, strings } = input;
  const { run } = row;
  const context = { webviewSection: 'run', runDir: run.dir, starred: run.starred };
  return h(
    'tr',
    {
      'data-row': row.key,
      'data-vscode-context': JSON.stringify({ ...context, preventDefaultContextMenuItems: true }),
    },
    h('td', { class: 'tick' }, selectBox(input)),
    h('td', { class: 'tick' }, star(input)),
    ...columns.map((column) => cell(column, input)),
    h('td', { class: 'actions' }, h('span', { class: 'row-actions' }, ...actions(row, strings))),
  );
}

function cell(column: ColumnModel, input: RowInput): HTMLElement {
  const { row, best, strings } = input;
  const text = column.show(row);
  if (column.id === 'run') return h('th', { class: 'stay', scope: 'row', 'data-column': 'run' }, name(input));
  const attributes = { class: column.numeric ? 'number' : null, 'data-column': column.id };
  if (column.id !== 'quantized') return h('td', attributes, text);
  return h(
    'td',
    attributes,
    best ? h('span', { class: 'best' }, `${strings.best} `) : null,
    row.text.seen ? warning(strings.seen) : null,
    best ? h('strong', {}, text) : text,
  );
}

/** The run opens by its name; whose rotations it measured stands below. */
function name({ row: { run, text }, strings }: RowInput): HTMLElement {
  const origin = originText(run, strings);
  const link = h(
    'button',
    {
      type: 'button',
      class: 'link run-name',
      tabindex: -1,
      'data-act': 'run',
      'data-focus': focusOf('run', run.dir, text.name),
    },
    run.name,
  );
  if (origin === '') return link;
  return h('span', {}, link, h('span', { class: 'from' }, fill(strings.rotationsOf, origin)));
}

function warning(text: string): HTMLElement {
  return h(
    'span',
    { class: 'warns', title: text },
    h('span', { 'aria-hidden': 'true' }, '⚠'),
    h('span', { class: 'visually-hidden' }, `${text} `),
  );
}

const focusOf = (act: RowAct, dir: string, text: string): string => `${act} ${dir} ${text}`;

function selectBox({ row: { run, text }, strings }: RowInput): HTMLElement {
  return h('input', {
    type: 'checkbox',
    tabindex: -1,
    'aria-label': fill(strings.selectRun, run.name),
    'data-act': 'select',
    'data-focus': focusOf('select', run.dir, text.name),
  });
}

function star({ row: { run, text }, strings }: RowInput): HTMLElement {
  const { starred } = run;
  return h(
    'button',
    {
      type: 'button',
      class: 'icon star',
      tabindex: -1,
      'aria-pressed': String(starred),
      'aria-label': fill(starred ? strings.unstarRun : strings.starRun, run.name),
      'data-act': 'star',
      'data-focus': focusOf('star', run.dir, text.name),
    },
    starred ? '★' : '☆',
  );
}

function actions({ run, text }: ResultRow, strings: ResultsStrings): HTMLElement[] {
  const open = (act: RowAct, label: string) =>
    h(
      'button',
      {
        type: 'button',
        class: 'link',
        tabindex: -1,
        'aria-label': fill(strings.actionsOf, label, run.name),
        'data-act': act,
        'data-focus': focusOf(act, run.dir, text.name),
      },
      label,
    );
  return [
    open('experiment', strings.openExperiment),
    ...(run.steps > 0 ? [open('training', strings.openTraining)] : []),
    ...(run.hasActivations ? [open('layers', strings.openLayers)] : []),
    open('generate', strings.openText),
  ];
}
