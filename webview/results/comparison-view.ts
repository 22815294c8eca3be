import { fill } from '../../src/protocol/panels/fill.ts';
import type { ResultsIntent, ResultsState } from '../../src/protocol/panels/results.ts';
import { button, h } from '../shared/dom.ts';

/** In what the experiments of the two selected runs differ, or how to select them. */
export function comparisonView(state: ResultsState, send: (intent: ResultsIntent) => void): HTMLElement {
  const { strings, comparison, remembered, runs } = state;
  if (!comparison) {
    const one = runs.find(({ dir }) => dir === remembered.selected[0]);
    const hint = one ? fill(strings.selectOther, one.name) : strings.selectHint;
    return h('p', { class: 'quiet comparison-hint' }, hint);
  }
  const { a, b, differences } = comparison;
  const title = (run: typeof a) => run.title;
  const table = h(
    'table',
    { class: 'results' },
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        h('th', { scope: 'col', class: 'stay' }, strings.key),
        h('th', { scope: 'col' }, title(a)),
        h('th', { scope: 'col' }, title(b)),
      ),
    ),
    h(
      'tbody',
      {},
      ...differences.map((difference) =>
        h(
          'tr',
          {},
          h('th', { scope: 'row', class: 'stay' }, h('code', {}, difference.path)),
          h('td', {}, h('code', {}, difference.a)),
          h('td', {}, h('code', {}, difference.b)),
        ),
      ),
    ),
  );
  const clear = button(strings.clear, () => send({ type: 'select', selected: [] }), {
    class: 'link',
    'data-focus': 'clear',
  });
  return h(
    'section',
    { class: 'comparison', 'aria-labelledby': 'comparison-title' },
    h('div', { class: 'row' }, h('h2', { id: 'comparison-title' }, strings.comparing), clear),
    differences.length === 0
      ? h('p', { class: 'quiet' }, strings.noDifference)
      : h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': strings.comparing }, table),
  );
}
