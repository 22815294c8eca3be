import { fill } from '../../src/protocol/panels/fill.ts';
import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { h } from '../shared/dom.ts';
import { formatPerplexity } from '../shared/format.ts';
import type { Pivot, PivotCell, PivotMethod } from './pivot.ts';

/** One table per model and text; under each number its distance to full precision. */
export function pivotView(all: readonly Pivot[], strings: ResultsStrings, withDelta: boolean): HTMLElement {
  return h('div', { class: 'pivots' }, ...all.map((pivot) => pivotTable(pivot, strings, withDelta)));
}

function pivotTable(pivot: Pivot, strings: ResultsStrings, withDelta: boolean): HTMLElement {
  const { title, bits, methods, fullPrecision, notes } = pivot;
  const full = h(
    'tr',
    { class: 'full-precision' },
    h('th', { scope: 'row', class: 'stay' }, strings.fullPrecisionMethod),
    ...bits.map(() => h('td', { class: 'number' }, formatPerplexity(fullPrecision))),
  );
  const head = h(
    'tr',
    {},
    h('th', { scope: 'col', class: 'stay' }, strings.columns.method),
    ...bits.map((setting) => h('th', { scope: 'col', class: 'number' }, setting)),
  );
  const table = h(
    'table',
    { class: 'results pivot' },
    h('caption', {}, h('span', {}, fill(strings.pivotCaption, title))),
    h('thead', {}, head),
    h(
      'tbody',
      {},
      ...(fullPrecision === null ? [] : [full]),
      ...methods.map((method) => methodRow(method, strings, withDelta)),
    ),
  );
  return h(
    'div',
    { class: 'pivot-block' },
    h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': title }, table),
    ...notes.map((note) => h('p', { class: 'quiet' }, note)),
  );
}

function methodRow(
  { name, detail, cells }: PivotMethod,
  strings: ResultsStrings,
  withDelta: boolean,
): HTMLElement {
  const below = detail === '' ? null : h('span', { class: 'from' }, detail);
  return h(
    'tr',
    {},
    h('th', { scope: 'row', class: 'stay' }, name, below),
    ...cells.map((cell) => pivotCell(cell, strings, withDelta)),
  );
}

function pivotCell(cell: PivotCell | null, strings: ResultsStrings, withDelta: boolean): HTMLElement {
  if (!cell) return h('td', { class: 'number quiet' }, '–');
  const starred = cell.rows.some(({ run }) => run.starred);
  const seen = cell.rows.some(({ text }) => text.seen);
  const value = cell.best ? h('strong', {}, cell.text) : cell.text;
  return h(
    'td',
    { class: 'number' },
    starred ? '★ ' : null,
    seen ? h('span', { class: 'warns', title: strings.seen }, '⚠ ') : null,
    value,
    cell.best ? h('span', { class: 'visually-hidden' }, ` ${strings.best}`) : null,
    seen ? h('span', { class: 'visually-hidden' }, ` ${strings.seen}`) : null,
    withDelta && cell.delta !== '' ? h('span', { class: 'delta' }, cell.delta) : null,
    cell.from === '' ? null : h('span', { class: 'from' }, cell.from),
  );
}
