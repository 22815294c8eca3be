import { fill } from '../../../src/protocol/panels/fill.ts';
import type { MatrixRow, MatrixTable } from '../../../src/protocol/panels/matrix.ts';
import type { MatrixStrings } from '../../../src/protocol/panels/matrix-strings.ts';
import type { ResultsIntent, ResultsState } from '../../../src/protocol/panels/results.ts';
import { checkbox, Picker, ProblemBox, pushButton, type Toggle } from '../../shared/controls.ts';
import { h, setHidden, setText } from '../../shared/dom.ts';
import type { Theme } from '../../shared/theme.ts';
import { keepingFocus } from '../focus.ts';
import { MatrixFigures, type PictureToggles } from './figures.ts';
import { runsView } from './runs-view.ts';
import { matrixTableView, rowKey } from './table-view.ts';

export interface MatrixToggles extends PictureToggles {
  /** Key of the row whose runs are listed. */
  readonly row: string | null;
  /** Published values stand beside the measured ones. */
  readonly published: boolean;
}

export const DEFAULT_MATRIX_TOGGLES: MatrixToggles = {
  tables: [],
  column: null,
  site: 'down-input',
  linear: 'mean',
  row: null,
  published: false,
};

interface Wishes {
  readonly toggles: MatrixToggles;
  change(toggles: Partial<MatrixToggles>): void;
  send(intent: ResultsIntent): void;
}

/** The table of an experiment's matrix, the runs behind it and its pictures. */
export class MatrixPage {
  readonly element: HTMLElement;
  readonly #strings: MatrixStrings;
  readonly #wishes: Wishes;
  readonly #experiment: Picker;
  readonly #progress = h('span', { class: 'quiet', role: 'status' });
  readonly #fill: HTMLElement;
  readonly #published: Toggle;
  readonly #problem = new ProblemBox();
  readonly #table = h('div', { class: 'content' });
  readonly #runs = h('div', { id: 'cell-runs' });
  readonly #figures: MatrixFigures;
  #file: string | null = null;

  constructor(strings: MatrixStrings, wishes: Wishes) {
    this.#strings = strings;
    this.#wishes = wishes;
    const { send, change } = wishes;
    this.#experiment = new Picker(strings.experiment, (file) => send({ type: 'table', file, bits: null }));
    this.#fill = pushButton(strings.fill, () => {
      if (this.#file !== null) send({ type: 'fill-table', file: this.#file });
    });
    this.#published = checkbox(strings.showPublished, wishes.toggles.published, (published) =>
      change({ published }),
    );
    this.#figures = new MatrixFigures(strings, {
      get toggles() {
        return wishes.toggles;
      },
      keep: change,
      chooseBits: (bits) => {
        if (this.#file !== null) send({ type: 'table', file: this.#file, bits });
      },
      save: (picture) => send({ type: 'save-picture', ...picture }),
    });
    this.element = h(
      'div',
      { class: 'matrix-page' },
      h(
        'div',
        { class: 'row' },
        this.#experiment.element,
        this.#published.element,
        this.#fill,
        this.#progress,
      ),
      this.#problem.element,
      this.#table,
      this.#runs,
      this.#figures.element,
    );
  }

  show({ matrix }: ResultsState, theme: Theme): void {
    const { all, file, table, problem, progress } = matrix;
    this.#file = file;
    this.#experiment.show(
      all.map((one) => ({ value: one.file, label: one.name })),
      file ?? '',
    );
    this.#problem.show(problem);
    setHidden(this.#published.element, !table?.published);
    this.#published.set(this.#wishes.toggles.published);
    setHidden(this.#fill, progress !== null || table === null || table.done === table.total);
    setText(this.#progress, this.#words(table, progress));
    const name = all.find((one) => one.file === file)?.name ?? '';
    keepingFocus(this.#table, () => this.#drawTable(table, name));
    keepingFocus(this.#runs, () => this.#drawRuns(table));
    const measured = table !== null && table.columns.length > 0;
    setHidden(this.#figures.element, !measured);
    if (measured) this.#figures.show(table, theme);
  }

  #words(table: MatrixTable | null, progress: string | null): string {
    if (table === null) return '';
    const done = fill(this.#strings.done, table.done, table.total);
    return progress === null ? done : fill(this.#strings.running, done, progress);
  }

  #drawTable(table: MatrixTable | null, name: string): void {
    if (table === null) {
      this.#table.replaceChildren();
      return;
    }
    const { row, published } = this.#wishes.toggles;
    const input = { table, name, strings: this.#strings, chosen: row, published };
    this.#table.replaceChildren(matrixTableView({ ...input, choose: (row) => this.#choose(row) }));
  }

  /** A row of one run leads straight to it; its list stays for the other ways. */
  #choose(row: MatrixRow): void {
    const key = rowKey(row);
    const { toggles, change } = this.#wishes;
    if (toggles.row === key) {
      change({ row: null });
      return;
    }
    change({ row: key });
    this.#runs.scrollIntoView({ block: 'nearest' });
    const runs = row.cells.flatMap(({ run }) => (run === null ? [] : [run]));
    const [only] = runs;
    if (only !== undefined && runs.length === 1)
      this.#wishes.send({ type: 'open', run: only, what: 'training' });
  }

  #drawRuns(table: MatrixTable | null): void {
    const { toggles, change, send } = this.#wishes;
    const row = table?.rows.find((one) => rowKey(one) === toggles.row);
    setHidden(this.#runs, !row);
    if (!table || !row) {
      this.#runs.replaceChildren();
      return;
    }
    this.#runs.replaceChildren(
      runsView({
        table,
        row,
        strings: this.#strings,
        open: (run, what) => send({ type: 'open', run, what }),
        close: () => change({ row: null }),
      }),
    );
  }
}
