import { checkbox, type Toggle } from '../shared/controls.ts';
import { h, setHidden } from '../shared/dom.ts';
import type { ColumnModel } from './columns.ts';

/** The list of columns, each shown or not. It opens below its heading. */
export class ColumnMenu {
  readonly element: HTMLElement;
  readonly #list: HTMLElement;
  readonly #toggles = new Map<string, Toggle>();
  readonly #change: (column: string, on: boolean) => void;
  #known = '';

  constructor(label: string, change: (column: string, on: boolean) => void) {
    this.#change = change;
    this.#list = h('div', { class: 'menu-list', role: 'group', 'aria-label': label });
    const details = h('details', { class: 'menu' }, h('summary', {}, label), this.#list);
    setHidden(this.#list, true);
    details.addEventListener('toggle', () => setHidden(this.#list, !details.open));
    details.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !details.open) return;
      details.open = false;
      details.querySelector('summary')?.focus();
    });
    document.addEventListener('pointerdown', ({ target }) => {
      if (target instanceof Node && !details.contains(target)) details.open = false;
    });
    this.element = details;
  }

  show(all: readonly ColumnModel[], shown: readonly ColumnModel[]): void {
    // The run and what it is judged by are always there.
    const offered = all.filter(({ id }) => id !== 'run' && id !== 'quantized');
    const known = JSON.stringify(offered.map(({ id }) => id));
    if (known !== this.#known) {
      this.#known = known;
      this.#toggles.clear();
      for (const { id, fullTitle } of offered)
        this.#toggles.set(
          id,
          checkbox(fullTitle, false, (on) => this.#change(id, on)),
        );
      this.#list.replaceChildren(...[...this.#toggles.values()].map(({ element }) => element));
    }
    const ids = new Set(shown.map(({ id }) => id));
    for (const [id, toggle] of this.#toggles) toggle.set(ids.has(id));
  }
}
