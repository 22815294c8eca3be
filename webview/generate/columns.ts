import type { GenerateState } from '../../src/protocol/panels/generate.ts';
import { h } from '../shared/dom.ts';
import type { Theme } from '../shared/theme.ts';
import { ColumnView } from './column.ts';

/** The networks side by side. A column stays as long as its network does. */
export class Columns {
  readonly element = h('div', { class: 'networks' });
  readonly #point: (token: number | null) => void;
  #views: ColumnView[] = [];
  #key = '';

  constructor(point: (token: number | null) => void) {
    this.#point = point;
  }

  show(state: GenerateState, theme: Theme, at: number | null): void {
    const key = JSON.stringify([state.columns.map(({ run, name }) => [run, name]), theme.runs]);
    if (key !== this.#key) {
      this.#key = key;
      this.#views = state.columns.map(
        (column, place) => new ColumnView(state.strings, column, place, theme, this.#point),
      );
      this.element.replaceChildren(...this.#views.map(({ element }) => element));
    }
    for (const [place, view] of this.#views.entries()) view.show(state, state.columns[place]!, at);
  }
}
