import { fill } from '../../src/protocol/panels/fill.ts';
import type {
  ComparedLine,
  Comparison,
  ResultsIntent,
  ResultsState,
} from '../../src/protocol/panels/results.ts';
import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { button, h } from '../shared/dom.ts';

/** In what the selected runs differ, in a drawer at the lower end; or how to select them. */
export function comparisonView(
  { strings, comparison, remembered, runs }: ResultsState,
  send: (intent: ResultsIntent) => void,
): HTMLElement {
  if (!comparison) {
    const one = runs.find(({ dir }) => dir === remembered.selected[0]);
    const hint = one ? fill(strings.selectOther, one.name) : strings.selectHint;
    return h('p', { class: 'quiet comparison-hint' }, hint);
  }
  const title = fill(strings.comparison.title, comparison.runs.length);
  const clear = button(strings.clear, () => send({ type: 'select', selected: [] }), {
    class: 'link',
    'data-focus': 'clear',
  });
  // It scrolls by itself, and is a part of the drawer, no landmark.
  const region = {
    class: 'scroll',
    tabindex: 0,
    role: 'group',
    'aria-labelledby': 'comparison-title',
    'data-scroll': 'comparison',
  };
  return h(
    'section',
    { class: 'comparison drawer', 'aria-labelledby': 'comparison-title' },
    h('div', { class: 'row' }, h('h2', { id: 'comparison-title' }, title), clear),
    h('div', region, comparisonTable(comparison, strings)),
  );
}

/** All parts in one table, so that the columns of the runs stand below each other. */
function comparisonTable(comparison: Comparison, { comparison: words }: ResultsStrings): HTMLElement {
  const { runs, settings, provenance, outcome, layers } = comparison;
  const width = runs.length + 1;
  const head = h(
    'tr',
    {},
    h('th', { scope: 'col', class: 'stay' }, words.key),
    ...runs.map(({ title }) => h('th', { scope: 'col' }, title)),
  );
  return h(
    'table',
    { class: 'results compared' },
    h('thead', {}, head),
    part(words.settings, settings, width, words.sameSettings),
    part(words.provenance, provenance, width, words.sameProvenance),
    part(words.outcome, outcome, width, ''),
    layers.length === 0 ? null : part(words.layers, layers, width, ''),
  );
}

/** @param none what is said where no line differs. */
function part(title: string, lines: readonly ComparedLine[], width: number, none: string): HTMLElement {
  const heading = h('tr', { class: 'part' }, h('th', { colspan: width, scope: 'rowgroup' }, title));
  const empty = h('tr', {}, h('td', { colspan: width, class: 'quiet' }, none));
  const rows = lines.map(({ title: line, values }) => {
    const differs = new Set(values).size > 1;
    return h(
      'tr',
      { class: differs ? 'differs' : null },
      h('th', { scope: 'row', class: 'stay' }, h('code', {}, line)),
      ...values.map((value) => h('td', {}, h('code', {}, value ?? '–'))),
    );
  });
  return h('tbody', {}, heading, ...(rows.length === 0 ? [empty] : rows));
}
