import type { CommonIntent } from '../../src/protocol/panels/common.ts';
import { fill } from '../../src/protocol/panels/fill.ts';
import type { PictureFormat } from '../../src/protocol/panels/matrix.ts';
import type { ChartModel, Row, TableModel } from './chart-model.ts';
import { button, h, setAttribute, setHidden, setText } from './dom.ts';
import { FigureMenu, type MenuStrings } from './figure-menu.ts';
import { standaloneSpec } from './standalone-spec.ts';
import { TableView } from './table-view.ts';
import type { Theme } from './theme.ts';
import { VegaChart } from './vega-chart.ts';
import { pictureFile } from './vega-export.ts';

export interface FigureStrings extends MenuStrings {
  readonly showTable: string;
  readonly showChart: string;
  readonly showTableOf: string;
  readonly showChartOf: string;
}

/** The intents of a figure's menu; every panel has them. */
export type FigureOut = (intent: Extract<CommonIntent, { type: 'picture' | 'values' }>) => void;

/** A drag that is shorter is a click. */
const DRAG_PX = 5;

export interface FigureOptions {
  readonly id: string;
  readonly title: string;
  /** The quantity drawn, with its unit. */
  readonly about: string;
  readonly strings: FigureStrings;
  readonly asTable: boolean;
  /** Element that tells it from a figure of the same title. */
  readonly within?: string;
  onToggle(asTable: boolean): void;
  /** The pointer is over a value of the x axis; null when it left. */
  onPoint?(x: number | null): void;
  /** The pointer was pressed, or dragged, at a value of the x axis. */
  onPick?(x: number): void;
  /** Steps along the x axis by keys: −1, +1, or the ends. */
  onStep?(step: -1 | 1 | 'first' | 'last'): void;
  /** The pointer was pressed, or Enter, where it reads: the cursor stays there. */
  onPin?(): void;
  /** A part of the x axis was drawn over; null asks for the whole. Needs a data set `brush` {from, to}. */
  onZoom?(part: readonly [number, number] | null): void;
  /** Steps between the values of the y axis by keys. */
  onRow?(step: -1 | 1): void;
  /** The pointer is over, or was pressed at, a value of both axes. */
  onPlace?(x: number, y: string | null, pressed: boolean): void;
  /** Takes its picture and its numbers elsewhere; without it there is no menu. */
  readonly out?: FigureOut;
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
  readonly #heading: HTMLElement;
  readonly #readout = h('output', { class: 'readout' });
  readonly #about = h('p', { class: 'about' });
  readonly #note = h('p', { class: 'note', role: 'status' });
  readonly #table = new TableView();
  readonly #tableBox: HTMLElement;
  readonly #toggle: HTMLButtonElement;
  readonly #chart = new VegaChart(this.#plot);
  #asTable: boolean;
  #shown: { readonly model: ChartModel; readonly values: () => TableModel; readonly theme: Theme } | null =
    null;

  constructor(options: FigureOptions) {
    const { id, title, about, strings, asTable, within } = options;
    this.#options = options;
    this.#asTable = asTable;
    this.#toggle = button(strings.showTable, () => this.#flip(), { class: 'link' });
    this.#heading = h('h2', { id: `${id}-title` }, title);
    this.#tableBox = h(
      'div',
      { class: 'table-box', tabindex: 0, role: 'group', 'aria-labelledby': `${id}-title` },
      this.#table.element,
    );
    this.element = h(
      'section',
      { class: 'figure', id, 'aria-labelledby': within ? `${id}-title ${within}` : `${id}-title` },
      h(
        'header',
        {},
        this.#heading,
        h('span', { class: 'figure-ways' }, this.tools, this.#menu(), this.#toggle),
      ),
      this.#about,
      this.#readout,
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

  setTitle(text: string): void {
    setText(this.#heading, text);
  }

  setAbout(text: string): void {
    setText(this.#about, text);
  }

  /** Its place is there whatever it says: a chart holds still under the pointer. */
  setReadout(text: string): void {
    setText(this.#readout, text);
    setAttribute(this.#readout, 'title', text);
  }

  /** Lines that the readout may need, so that its place is large enough from the start. */
  setReadoutLines(lines: number): void {
    setAttribute(this.#readout, 'data-lines', lines);
  }

  setRows(name: string, rows: readonly Row[]): void {
    if (!this.#asTable) this.#chart.setRows(name, rows);
  }

  /**
   * @param table is only made when it is looked at.
   * @param values the same with all digits, where the table rounds.
   */
  show(model: ChartModel, table: () => TableModel, theme: Theme, values = table): void {
    this.#shown = { model, values, theme };
    this.setReadout(model.readout);
    setText(this.#note, model.note);
    setHidden(this.#note, model.note === '');
    setAttribute(this.#plot, 'aria-label', model.summary);
    if (this.#asTable) this.#table.show(table());
    else this.#chart.show(model, theme);
  }

  #menu(): HTMLElement | null {
    const { title, strings, out } = this.#options;
    if (!out) return null;
    const copy = () => {
      if (this.#shown) out({ type: 'values', text: tabbed(this.#shown.values()) });
    };
    return new FigureMenu(title, strings, (format) => void this.#save(format, out), copy).element;
  }

  async #save(format: PictureFormat, out: FigureOut): Promise<void> {
    if (!this.#shown) return;
    const { id, title, about } = this.#options;
    const { model, theme } = this.#shown;
    const spec = standaloneSpec(
      model,
      { text: this.#heading.textContent || title, subtitle: this.#about.textContent || about },
      theme,
    );
    out({ type: 'picture', format, name: id, content: await pictureFile(spec, format) });
  }

  #flip(): void {
    this.#asTable = !this.#asTable;
    this.#showSide();
    this.#options.onToggle(this.#asTable);
  }

  #showSide(): void {
    const { strings, title } = this.#options;
    setHidden(this.#plot, this.#asTable);
    setHidden(this.legend, this.#asTable);
    setHidden(this.#tableBox, !this.#asTable);
    const [text, label] = this.#asTable
      ? [strings.showChart, strings.showChartOf]
      : [strings.showTable, strings.showTableOf];
    setAttribute(this.#toggle, 'aria-label', fill(label, title));
    setText(this.#toggle, text);
  }

  #listen(): void {
    const { onPoint, onPick, onStep, onZoom, onPlace } = this.#options;
    const plot = this.#plot;
    setAttribute(plot, 'role', onStep ? 'slider' : 'img');
    if (onStep) {
      plot.tabIndex = 0;
      plot.addEventListener('keydown', (event) => this.#key(event));
      plot.addEventListener('blur', () => onPoint?.(null));
    }
    if (onZoom) this.#listenToDrags();
    if (!onPoint && !onPick && !onPlace) {
      setHidden(this.#readout, true);
      return;
    }
    plot.addEventListener('pointermove', (event) => this.#point(event, event.buttons === 1));
    plot.addEventListener('pointerleave', () => onPoint?.(null));
    plot.addEventListener('pointerdown', (event) => {
      if (event.button === 0) this.#point(event, true);
    });
  }

  #point({ clientX, clientY }: PointerEvent, pressed: boolean): void {
    const { onPoint, onPick, onPlace } = this.#options;
    const x = this.#chart.valueAt(clientX);
    onPoint?.(x);
    if (onPick && x !== null && pressed) onPick(x);
    const place = onPlace && this.#chart.placeAt(clientX, clientY);
    if (place) onPlace(place.x, place.y, pressed);
  }

  #key(event: KeyboardEvent): void {
    const { onStep, onPin, onZoom, onRow } = this.#options;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = KEYS[event.key];
    if (onRow && (event.key === 'ArrowUp' || event.key === 'ArrowDown'))
      onRow(event.key === 'ArrowUp' ? -1 : 1);
    else if (step !== undefined) onStep?.(step);
    else if (event.key === 'Enter' && onPin) onPin();
    else if (event.key === 'Escape' && onZoom) onZoom(null);
    else return;
    event.preventDefault();
  }

  /** Over a part of the axis it zooms; a click pins, a double-click shows the whole axis. */
  #listenToDrags(): void {
    const { onZoom, onPin } = this.#options;
    const plot = this.#plot;
    let from: { readonly px: number; readonly x: number } | null = null;
    const part = (clientX: number): readonly [number, number] | null => {
      const x = this.#chart.valueAt(clientX);
      if (from === null || x === null || Math.abs(clientX - from.px) < DRAG_PX) return null;
      return [Math.min(from.x, x), Math.max(from.x, x)];
    };
    const brush = (ends: readonly [number, number] | null) =>
      this.setRows('brush', ends === null ? [] : [{ from: ends[0], to: ends[1] }]);
    plot.addEventListener('pointerdown', ({ clientX, button: pressed, pointerId }) => {
      const x = this.#chart.valueAt(clientX);
      from = pressed === 0 && x !== null ? { px: clientX, x } : null;
      if (from !== null) plot.setPointerCapture(pointerId);
    });
    plot.addEventListener('pointermove', ({ clientX }) => {
      if (from !== null) brush(part(clientX));
    });
    plot.addEventListener('pointerup', ({ clientX }) => {
      const drawn = part(clientX);
      const isClick = from !== null && Math.abs(clientX - from.px) < DRAG_PX;
      from = null;
      brush(null);
      if (drawn !== null) onZoom?.(drawn);
      else if (isClick) onPin?.();
    });
    plot.addEventListener('pointercancel', () => {
      from = null;
      brush(null);
    });
    plot.addEventListener('dblclick', () => onZoom?.(null));
  }
}

/** As spreadsheets take it: columns apart by tabs, and minus signs that are minus signs. */
function tabbed({ columns, rows }: TableModel): string {
  const lines = [columns.map(({ title }) => title), ...rows];
  return `${lines.map((cells) => cells.join('\t').replaceAll('−', '-')).join('\n')}\n`;
}
