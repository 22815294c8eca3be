import type { GenerateState } from '../../src/protocol/panels/generate.ts';
import type { GenerateStrings } from '../../src/protocol/panels/generate-strings.ts';
import { h } from '../shared/dom.ts';
import { Figure } from '../shared/figure.ts';
import type { Theme } from '../shared/theme.ts';
import { divergenceAt, divergenceChart, divergenceTable } from './divergence.ts';
import { lineSign } from './marks.ts';

interface Wishes {
  readonly asTable: boolean;
  keep(asTable: boolean): void;
  point(token: number | null): void;
}

/** The chart of KL divergences along the text, whose cursor is the token that is looked at. */
export class DivergenceFigure {
  readonly element: HTMLElement;
  readonly #figure: Figure;
  #count = 0;
  #at: number | null = null;
  #legendKey = '';

  constructor(strings: GenerateStrings, { asTable, keep, point }: Wishes) {
    this.#figure = new Figure({
      id: 'divergence',
      title: strings.divergence,
      about: strings.divergenceAbout,
      strings,
      asTable,
      onToggle: keep,
      onPoint: (x) => point(x === null ? null : this.#inside(Math.round(x) - 1)),
      onStep: (step) => point(this.#stepped(step)),
    });
    this.element = this.#figure.element;
    this.element.classList.add('full');
  }

  show(state: GenerateState, theme: Theme, at: number | null): void {
    this.#count = state.tokens.length;
    this.#at = at;
    this.#showLegend(state, theme);
    this.#figure.show(divergenceChart(state, theme, at), () => divergenceTable(state), theme);
    const now = at ?? 0;
    this.#figure.setPosition(now + 1, 1, Math.max(1, this.#count), divergenceAt(state, now));
  }

  #inside(token: number): number | null {
    return this.#count === 0 ? null : Math.min(Math.max(token, 0), this.#count - 1);
  }

  #stepped(step: -1 | 1 | 'first' | 'last'): number | null {
    if (step === 'first') return this.#inside(0);
    if (step === 'last') return this.#inside(this.#count - 1);
    return this.#inside(this.#at === null ? 0 : this.#at + step);
  }

  #showLegend({ columns }: GenerateState, theme: Theme): void {
    const names = columns.slice(1).map(({ title }) => title);
    const key = JSON.stringify([names, theme.runs]);
    if (key === this.#legendKey) return;
    this.#legendKey = key;
    this.#figure.legend.replaceChildren(
      ...names.map((name, place) => h('span', {}, lineSign(place, theme), name)),
    );
  }
}
