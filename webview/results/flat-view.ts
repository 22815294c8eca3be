import { fill } from '../../src/protocol/panels/fill.ts';
import type { ResultsIntent, ResultsState } from '../../src/protocol/panels/results.ts';
import { button, h, setAttribute } from '../shared/dom.ts';
import type { ColumnModel, ResultRow, Sorting } from './rows.ts';

export interface FlatInput {
  readonly state: ResultsState;
  readonly rows: readonly ResultRow[];
  readonly columns: readonly ColumnModel[];
  readonly sorting: Sorting;
  readonly best: ReadonlySet<ResultRow>;
  sort(sorting: Sorting): void;
  send(intent: ResultsIntent): void;
}

/** The table of runs: headings sort it, boxes choose two runs to compare, stars mark the ones worth keeping. */
export function flatView(input: FlatInput): HTMLElement {
  const { state, rows, columns } = input;
  const { strings } = state;
  const head = h(
    'tr',
    {},
    h('th', { scope: 'col' }, h('span', { class: 'visually-hidden' }, strings.columns.selected)),
    h('th', { scope: 'col' }, h('span', { class: 'visually-hidden' }, strings.columns.star)),
    ...columns.map((column, index) => heading(column, index === 0, input)),
    h('th', { scope: 'col' }, h('span', { class: 'visually-hidden' }, strings.openExperiment)),
  );
  const table = h(
    'table',
    { class: 'results' },
    h('caption', { class: 'visually-hidden' }, strings.title),
    h('thead', {}, head),
    h('tbody', {}, ...rows.map((row) => bodyRow(row, input))),
  );
  return h(
    'div',
    { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': strings.title, 'data-scroll': 'flat' },
    table,
  );
}

/** @param stays whether the column keeps its place while the others scroll. */
function heading(
  { id, title, numeric }: ColumnModel,
  stays: boolean,
  { state, sorting, sort }: FlatInput,
): HTMLElement {
  const active = sorting.column === id;
  const arrow = active ? (sorting.descending ? ' ↓' : ' ↑') : '';
  const label = button(
    `${title}${arrow}`,
    () => sort({ column: id, descending: active && !sorting.descending }),
    { class: 'sort', 'data-focus': `sort ${id}`, 'aria-label': fill(state.strings.sortBy, title) },
  );
  const cell = h('th', { scope: 'col', class: stays ? 'stay' : numeric ? 'number' : null }, label);
  if (active) setAttribute(cell, 'aria-sort', sorting.descending ? 'descending' : 'ascending');
  return cell;
}

function bodyRow(row: ResultRow, input: FlatInput): HTMLElement {
  const { state, columns, best } = input;
  const selected = state.remembered.selected.includes(row.run.dir);
  return h(
    'tr',
    { 'aria-selected': String(selected), class: selected ? 'selected' : null },
    h('td', {}, selectBox(row, selected, input)),
    h('td', {}, star(row, input)),
    ...columns.map((column, index) => {
      const isBest = column.id === 'quantized' && best.has(row);
      const text = column.show(row);
      const attributes = { class: column.numeric ? 'number' : null, 'data-column': column.id };
      if (index === 0) return h('th', { ...attributes, class: 'stay', scope: 'row' }, text);
      if (!isBest) return h('td', attributes, text);
      return h(
        'td',
        attributes,
        h('span', { class: 'best' }, `${state.strings.best} `),
        h('strong', {}, text),
      );
    }),
    h('td', { class: 'actions' }, ...actions(row, input)),
  );
}

/** A third choice takes the place of the older of two. */
export function nextSelection(selected: readonly string[], dir: string, on: boolean): string[] {
  const others = selected.filter((known) => known !== dir);
  return on ? [...others, dir].slice(-2) : others;
}

function selectBox({ run, text }: ResultRow, selected: boolean, { state, send }: FlatInput): HTMLElement {
  const box = h('input', {
    type: 'checkbox',
    'aria-label': fill(state.strings.selectRun, run.name),
    'data-focus': `select ${run.dir} ${text.name}`,
  });
  box.checked = selected;
  box.addEventListener('change', () =>
    send({ type: 'select', selected: nextSelection(state.remembered.selected, run.dir, box.checked) }),
  );
  return box;
}

function star({ run, text }: ResultRow, { state: { strings }, send }: FlatInput): HTMLElement {
  const { starred } = run;
  return button(starred ? '★' : '☆', () => send({ type: 'star', run: run.dir, starred: !starred }), {
    class: 'icon star',
    'aria-pressed': String(starred),
    'aria-label': fill(starred ? strings.unstarRun : strings.starRun, run.name),
    'data-focus': `star ${run.dir} ${text.name}`,
  });
}

function actions({ run, text }: ResultRow, { state: { strings }, send }: FlatInput): HTMLElement[] {
  const open = (what: 'experiment' | 'training' | 'layers' | 'generate', label: string) =>
    button(label, () => send({ type: 'open', run: run.dir, what }), {
      class: 'link',
      'aria-label': fill(strings.actionsOf, label, run.name),
      'data-focus': `open ${what} ${run.dir} ${text.name}`,
    });
  return [
    open('experiment', strings.openExperiment),
    ...(run.steps > 0 ? [open('training', strings.openTraining)] : []),
    ...(run.hasActivations ? [open('layers', strings.openLayers)] : []),
    open('generate', strings.openText),
  ];
}
