import { fill } from '../../src/protocol/panels/fill.ts';
import type { ResultsIntent, ResultsState } from '../../src/protocol/panels/results.ts';
import { h, setHidden, setText } from '../shared/dom.ts';
import { comparisonView } from './comparison-view.ts';
import { FlatTable } from './flat-view.ts';
import { keepingFocus } from './focus.ts';
import { pivotView } from './pivot-view.ts';
import type { Shown } from './table-model.ts';
import type { ResultsToggles } from './toolbar.ts';

interface Wishes {
  readonly toggles: ResultsToggles;
  change(toggles: Partial<ResultsToggles>): void;
  send(intent: ResultsIntent): void;
}

/** The table of runs with its drawer, or methods by bits. */
export class RunsPage {
  readonly element: HTMLElement;
  readonly #facts = h('p', { class: 'quiet facts' });
  readonly #noMatch: HTMLElement;
  readonly #pivots = h('div');
  readonly #drawer = h('div', { class: 'drawer-place' });
  readonly #count = h('p', { class: 'quiet count', role: 'status' });
  readonly #flat: FlatTable;
  readonly #wishes: Wishes;

  constructor({ strings }: Pick<ResultsState, 'strings'>, wishes: Wishes) {
    this.#wishes = wishes;
    this.#noMatch = h('p', { class: 'quiet' }, strings.noMatch);
    const fold = (group: string) => {
      const { folded } = wishes.toggles;
      const others = folded.filter((known) => known !== group);
      wishes.change({ folded: others.length < folded.length ? others : [...folded, group] });
    };
    this.#flat = new FlatTable(strings, {
      sort: (sorting) => wishes.change({ sorting }),
      fold,
      send: (intent) => wishes.send(intent),
    });
    this.element = h(
      'div',
      { class: 'content' },
      this.#facts,
      this.#noMatch,
      this.#flat.element,
      this.#pivots,
      this.#count,
      this.#drawer,
    );
  }

  show(state: ResultsState, shown: Shown, view: 'runs' | 'pivot'): void {
    const { strings } = state;
    const { sorting, difference } = this.#wishes.toggles;
    const isFlat = view === 'runs';
    const hasRows = shown.rows.length > 0;
    setText(this.#facts, isFlat ? shown.facts : '');
    setHidden(this.#facts, !isFlat || shown.facts === '');
    setHidden(this.#noMatch, hasRows);
    setHidden(this.#flat.element, !isFlat || !hasRows);
    setHidden(this.#pivots, isFlat || !hasRows);
    if (isFlat && hasRows) this.#flat.show({ state, ...shown, sorting, chosen: this.#chosenColumns() });
    if (!isFlat && hasRows)
      keepingFocus(this.#pivots, () =>
        this.#pivots.replaceChildren(pivotView(shown.pivots(), strings, difference)),
      );
    setText(this.#count, countText(state, shown));
    const drawn = isFlat || state.comparison !== null;
    keepingFocus(this.#drawer, () =>
      this.#drawer.replaceChildren(
        ...(drawn ? [comparisonView(state, (intent) => this.#wishes.send(intent))] : []),
      ),
    );
  }

  #chosenColumns(): string {
    const { columns, onlyChanged } = this.#wishes.toggles;
    return JSON.stringify([columns, onlyChanged]);
  }
}

function countText({ strings, withoutResults }: ResultsState, { rows, all, unclear }: Shown): string {
  const parts = [fill(strings.shown, rows.length, all.length)];
  if (withoutResults > 0)
    parts.push(
      withoutResults === 1 ? strings.oneWithoutResults : fill(strings.withoutResults, withoutResults),
    );
  if (unclear.length > 0) parts.push(fill(strings.unclear, unclear.join(' ')));
  return parts.join(' · ');
}
