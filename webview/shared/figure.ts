import { fill } from '../../src/protocol/panels/fill.ts';
import type { ChartModel, Row, TableModel } from './chart-model.ts';
import { button, h, setAttribute, setHidden, setText } from './dom.ts';
import { TableView } from './table-view.ts';
import type { Theme } from './theme.ts';
import { VegaChart } from './vega-chart.ts';

export interface FigureOptions {
  readonly id: string;
  readonly title: string;
  /** The quantity drawn, with its unit. */
  readonly about: string;
  readonly strings: { readonly showTable: string; readonly showChart: string; readonly showTableOf: string };
  readonly asTable: boolean;
  onToggle(asTable: boolean): void;
  /** The pointer is over a value of the x axis; null when it left. */
  onPoint?(x: number | null): void;
  /** The pointer was pressed, or dragged, at a value of the x axis. */
  onPick?(x: number): void;
  /** Steps along the x axis by keys: −1, +1, or the ends. */
  onStep?(step: -1 | 1 | 'first' | 'last'): void;
}

const KEYS: Readonly<Record<string, -1 | 1 | 'first' | 'last'>> = {
  ArrowLeft: -1,
  ArrowDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
  Home: 'first',
  End: 'last',
};

/** A chart with its title, present value, legend, note, and the table of the same numbers. */
export class Figure {
  readonly element: HTMLElement;
  /** For buttons and legends of this figure. */
  readonly tools = h('span', { class: 'figure-tools' });
  readonly legend = h('div', { class: 'legend' });
  readonly #options: FigureOptions;
  readonly #plot = h('div', { class: 'plot' });
  readonly #readout = h('output', { class: 'readout' });
  readonly #about = h('p', { class: 'about' });
  readonly #note = h('p', { class: 'note', role: 'status' });
  readonly #table = new TableView();
  readonly #tableBox: HTMLElement;
  readonly #toggle: HTMLButtonElement;
  readonly #chart = new VegaChart(this.#plot);
  #asTable: boolean;

  constructor(options: FigureOptions) {
    const { id, title, about, strings, asTable } = options;
    this.#options = options;
    this.#asTable = asTable;
    this.#toggle = button(strings.showTable, () => this.#flip(), {
      class: 'link',
      'aria-label': fill(strings.showTableOf, title),
    });
    const heading = h('h2', { id: `${id}-title` }, title);
    this.#tableBox = h(
      'div',
      { class: 'table-box', tabindex: 0, role: 'region', 'aria-labelledby': `${id}-title` },
      this.#table.element,
    );
    this.element = h(
      'section',
      { class: 'figure', id, 'aria-labelledby': `${id}-title` },
      h('header', {}, heading, this.#readout, h('span', { class: 'figure-ways' }, this.tools, this.#toggle)),
      this.#about,
      this.legend,
      this.#plot,
      this.#tableBox,
      this.#note,
    );
    setText(this.#about, about);
    this.#listen();
    this.#showSide();
  }

  /** A figure with arrow keys reports its position, as a slider does. */
  setPosition(now: number, min: number, max: number, text: string): void {
    setAttribute(this.#plot, 'aria-valuenow', now);
    setAttribute(this.#plot, 'aria-valuemin', min);
    setAttribute(this.#plot, 'aria-valuemax', max);
    setAttribute(this.#plot, 'aria-valuetext', text);
  }

  setAbout(text: string): void {
    setText(this.#about, text);
  }

  setReadout(text: string): void {
    setText(this.#readout, text);
  }

  setRows(name: string, rows: readonly Row[]): void {
    if (!this.#asTable) this.#chart.setRows(name, rows);
  }

  /** @param table is only made when it is looked at. */
  show(model: ChartModel, table: () => TableModel, theme: Theme): void {
    setText(this.#readout, model.readout);
    setText(this.#note, model.note);
    setHidden(this.#note, model.note === '');
    setAttribute(this.#plot, 'aria-label', model.summary);
    if (this.#asTable) this.#table.show(table());
    else this.#chart.show(model, theme);
  }

  #flip(): void {
    this.#asTable = !this.#asTable;
    this.#showSide();
    this.#options.onToggle(this.#asTable);
  }

  #showSide(): void {
    const { strings } = this.#options;
    setHidden(this.#plot, this.#asTable);
    setHidden(this.legend, this.#asTable);
    setHidden(this.#tableBox, !this.#asTable);
    setAttribute(this.#toggle, 'aria-pressed', String(this.#asTable));
    setText(this.#toggle, this.#asTable ? strings.showChart : strings.showTable);
  }

  #listen(): void {
    const { onPoint, onPick, onStep } = this.#options;
    const plot = this.#plot;
    setAttribute(plot, 'role', onStep ? 'slider' : 'img');
    if (onStep) {
      plot.tabIndex = 0;
      plot.addEventListener('keydown', (event) => {
        const step = KEYS[event.key];
        if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        onStep(step);
      });
      plot.addEventListener('blur', () => onPoint?.(null));
    }
    if (!onPoint && !onPick) return;
    plot.addEventListener('pointermove', (event) => {
      const x = this.#chart.valueAt(event.clientX);
      onPoint?.(x);
      if (onPick && x !== null && event.buttons === 1) onPick(x);
    });
    plot.addEventListener('pointerleave', () => onPoint?.(null));
    plot.addEventListener('pointerdown', (event) => {
      const x = this.#chart.valueAt(event.clientX);
      if (onPick && x !== null && event.button === 0) onPick(x);
    });
  }
}
