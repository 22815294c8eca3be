import { changeset, parse, truthy, View } from 'vega';
import { expressionInterpreter } from 'vega-interpreter';
import { compile } from 'vega-lite';
import { type ChartModel, changeOf, type Row, type Signals } from './chart-model.ts';
import { h } from './dom.ts';
import type { Theme } from './theme.ts';
import { vegaConfig } from './vega-config.ts';

/** A chart on the page. It is built when its structure, the theme or its place changes; else only data flow into it. */
export class VegaChart {
  readonly #container: HTMLElement;
  /** vega gives its element a role and a label of its own: those of the container are ours. */
  readonly #canvas = h('div', { 'aria-hidden': 'true' });
  #view: View | null = null;
  #key = '';
  #rows: Readonly<Record<string, readonly Row[]>> = {};
  #signals: Signals = {};

  constructor(container: HTMLElement) {
    this.#container = container;
    container.append(this.#canvas);
    new ResizeObserver(() => this.#resize()).observe(container);
  }

  /** Shows the model. Without a place to draw (hidden behind its table) nothing is done. */
  show(model: ChartModel, theme: Theme): void {
    if (this.#container.clientWidth === 0) return;
    const key = JSON.stringify([model.spec, theme]);
    if (!this.#view || key !== this.#key) this.#build(model, theme, key);
    this.#flow(model);
  }

  /** Puts rows into one data set at once: the cursor, which moves with the pointer. */
  setRows(name: string, rows: readonly Row[]): void {
    if (!this.#view) return;
    this.#change(name, rows);
    this.#view.run();
  }

  /** The value of the x axis under a place on the page; null beside the axis. */
  valueAt(clientX: number): number | null {
    const view = this.#view;
    const drawing = this.#canvas.querySelector('svg');
    if (!view || !drawing) return null;
    const left = drawing.getBoundingClientRect().left + view.origin()[0];
    const x = clientX - left;
    const scale = view.scale('x') as { invert(x: number): number; range(): [number, number] };
    const [from, to] = scale.range();
    return x < from - 8 || x > to + 8 ? null : scale.invert(Math.min(Math.max(x, from), to));
  }

  #build(model: ChartModel, theme: Theme, key: string): void {
    this.#view?.finalize();
    this.#canvas.replaceChildren();
    const { spec } = compile(model.spec, { config: vegaConfig(theme) });
    const view = new View(parse(spec, undefined, { ast: true }), {
      expr: expressionInterpreter,
      renderer: 'svg',
      container: this.#canvas,
      hover: false,
      tooltip: () => undefined,
    });
    view.width(this.#container.clientWidth);
    this.#view = view;
    this.#key = key;
    this.#rows = {};
    this.#signals = {};
  }

  /** Data and signals of one model are drawn together. */
  #flow({ data, signals }: ChartModel): void {
    const view = this.#view!;
    for (const [name, value] of Object.entries(signals))
      if (JSON.stringify(this.#signals[name]) !== JSON.stringify(value)) view.signal(name, value);
    this.#signals = signals;
    for (const [name, rows] of Object.entries(data)) this.#change(name, rows);
    view.run();
  }

  #change(name: string, rows: readonly Row[]): void {
    const { replace, insert } = changeOf(this.#rows[name] ?? [], rows);
    this.#rows = { ...this.#rows, [name]: rows };
    if (!replace && insert.length === 0) return;
    const change = changeset();
    if (replace) change.remove(truthy);
    // The view adds its own fields to what it is given.
    this.#view!.change(name, change.insert(insert.map((row) => ({ ...row }))));
  }

  #resize(): void {
    const width = this.#container.clientWidth;
    if (!this.#view || width === 0 || this.#view.width() === width) return;
    this.#view.width(width).run();
  }
}
