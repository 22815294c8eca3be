import type { ExportFormat } from '../../src/protocol/panels/results.ts';
import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { checkbox, Picker, pushButton, textField } from '../shared/controls.ts';
import { h, setHidden, setText } from '../shared/dom.ts';
import type { Sorting } from './rows.ts';

export interface ResultsToggles {
  readonly view: 'runs' | 'pivot';
  readonly filter: string;
  readonly onlyChanged: boolean;
  readonly difference: boolean;
  readonly sorting: Sorting;
}

export const DEFAULT_TOGGLES: ResultsToggles = {
  view: 'runs',
  filter: '',
  onlyChanged: true,
  difference: true,
  sorting: { column: 'age', descending: false },
};

const FORMATS: readonly ExportFormat[] = ['markdown', 'latex', 'csv'];

interface Wishes {
  change(toggles: Partial<ResultsToggles>): void;
  copy(format: ExportFormat): void;
}

/** The controls of the view, and the ways out of the panel. */
export class Toolbar {
  readonly element: HTMLElement;
  readonly #said = h('span', { class: 'quiet', role: 'status' });
  readonly #onlyChanged: HTMLElement;
  readonly #difference: HTMLElement;

  constructor(strings: ResultsStrings, toggles: ResultsToggles, { change, copy }: Wishes) {
    const view = new Picker(strings.view, (value) => change({ view: value === 'pivot' ? 'pivot' : 'runs' }));
    view.show(
      [
        { value: 'runs', label: strings.runsView },
        { value: 'pivot', label: strings.pivotView },
      ],
      toggles.view,
    );
    const onlyChanged = checkbox(strings.onlyChanged, toggles.onlyChanged, (on) =>
      change({ onlyChanged: on }),
    );
    const difference = checkbox(strings.difference, toggles.difference, (on) => change({ difference: on }));
    this.#onlyChanged = onlyChanged.element;
    this.#difference = difference.element;
    const filter = textField(strings.filterHint, toggles.filter, (text) => change({ filter: text }));
    const copies = FORMATS.map((format) => pushButton(strings.formats[format], () => copy(format), true));
    this.element = h(
      'header',
      { class: 'panel-head' },
      h('h1', {}, strings.title),
      h('div', { class: 'row' }, view.element, filter, this.#onlyChanged, this.#difference),
      h(
        'div',
        { class: 'row', role: 'group', 'aria-label': strings.copyAs },
        h('span', { class: 'quiet', 'aria-hidden': 'true' }, strings.copyAs),
        ...copies,
        this.#said,
      ),
    );
    this.show(toggles);
  }

  /** Columns belong to the table of runs, differences in each cell to the pivot. */
  show({ view }: ResultsToggles): void {
    setHidden(this.#onlyChanged, view === 'pivot');
    setHidden(this.#difference, view !== 'pivot');
  }

  say(text: string): void {
    setText(this.#said, text);
  }
}
