import type { ResultsStrings } from '../../src/protocol/panels/results-strings.ts';
import { TABLE_FORMATS, type TableFormat } from '../../src/protocol/table-formats.ts';
import { checkbox, Picker, pushButton, textField } from '../shared/controls.ts';
import { h, setHidden, setText } from '../shared/dom.ts';
import { ColumnMenu } from './column-menu.ts';
import type { ColumnModel } from './columns.ts';
import { DEFAULT_MATRIX_TOGGLES, type MatrixToggles } from './matrix/page.ts';
import type { Sorting } from './rows.ts';

/** The table of runs, methods by bits of all runs, and the table that a matrix fills. */
export const RESULTS_VIEWS = ['runs', 'pivot', 'matrix'] as const;
export type ResultsView = (typeof RESULTS_VIEWS)[number];

export interface ResultsToggles {
  readonly view: ResultsView;
  readonly filter: string;
  readonly onlyChanged: boolean;
  /** Columns that the person shows or hides, by id. */
  readonly columns: Readonly<Record<string, boolean>>;
  /** Rows of one experiment stand below each other. */
  readonly grouped: boolean;
  /** Groups whose rows are not shown. */
  readonly folded: readonly string[];
  readonly difference: boolean;
  readonly sorting: Sorting;
  readonly matrix: MatrixToggles;
  /** The last request for a table that the page turned to. */
  readonly answeredAt: number;
}

export const DEFAULT_TOGGLES: ResultsToggles = {
  view: 'runs',
  filter: '',
  onlyChanged: true,
  columns: {},
  grouped: false,
  folded: [],
  difference: true,
  sorting: { column: 'age', descending: false },
  matrix: DEFAULT_MATRIX_TOGGLES,
  answeredAt: 0,
};

interface Wishes {
  change(toggles: Partial<ResultsToggles>): void;
  copy(format: TableFormat): void;
}

/** The controls of the view, and the ways out of the panel. */
export class Toolbar {
  readonly element: HTMLElement;
  readonly #said = h('span', { class: 'quiet', role: 'status' });
  readonly #onlyChanged: HTMLElement;
  readonly #grouped: HTMLElement;
  readonly #columns: ColumnMenu;
  readonly #difference: HTMLElement;
  readonly #filter: HTMLElement;
  readonly #json: HTMLElement;
  readonly #view: Picker;
  readonly #strings: ResultsStrings;

  constructor(strings: ResultsStrings, toggles: ResultsToggles, { change, copy }: Wishes) {
    this.#strings = strings;
    this.#view = new Picker(strings.view, (value) =>
      change({ view: RESULTS_VIEWS.find((view) => view === value) ?? 'runs' }),
    );
    const onlyChanged = checkbox(strings.onlyChanged, toggles.onlyChanged, (on) =>
      change({ onlyChanged: on }),
    );
    const difference = checkbox(strings.difference, toggles.difference, (on) => change({ difference: on }));
    this.#onlyChanged = onlyChanged.element;
    const grouped = checkbox(strings.groupByExperiment, toggles.grouped, (on) => change({ grouped: on }));
    this.#grouped = grouped.element;
    let columns = toggles.columns;
    this.#columns = new ColumnMenu(strings.columnMenu, (column, on) => {
      columns = { ...columns, [column]: on };
      change({ columns });
    });
    this.#difference = difference.element;
    this.#filter = textField(strings.filterHint, toggles.filter, (text) => change({ filter: text }));
    const names = { ...strings.formats, json: strings.matrix.json };
    const copyButton = (format: TableFormat) => pushButton(names[format], () => copy(format), true);
    const copies = TABLE_FORMATS.filter((format) => format !== 'json').map(copyButton);
    this.#json = copyButton('json');
    this.element = h(
      'header',
      { class: 'panel-head' },
      h('h1', {}, strings.title),
      h(
        'div',
        { class: 'row' },
        this.#view.element,
        this.#filter,
        this.#columns.element,
        this.#onlyChanged,
        this.#grouped,
        this.#difference,
      ),
      h(
        'div',
        { class: 'row', role: 'group', 'aria-label': strings.copyAs },
        h('span', { class: 'quiet', 'aria-hidden': 'true' }, strings.copyAs),
        ...copies,
        this.#json,
        this.#said,
      ),
    );
  }

  /**
   * Columns belong to the table of runs, differences in each cell to the pivot; a matrix is shown whole.
   * @param withMatrix whether there is one.
   */
  show(view: ResultsView, withMatrix: boolean): void {
    const { runsView, pivotView, matrix } = this.#strings;
    this.#view.show(
      [
        { value: 'runs', label: runsView },
        { value: 'pivot', label: pivotView },
        ...(withMatrix ? [{ value: 'matrix', label: matrix.view }] : []),
      ],
      view,
    );
    setHidden(this.#filter, view === 'matrix');
    for (const part of [this.#onlyChanged, this.#grouped, this.#columns.element])
      setHidden(part, view !== 'runs');
    setHidden(this.#difference, view !== 'pivot');
    setHidden(this.#json, view !== 'matrix');
  }

  showColumns(all: readonly ColumnModel[], shown: readonly ColumnModel[]): void {
    this.#columns.show(all, shown);
  }

  say(text: string): void {
    setText(this.#said, text);
  }
}
