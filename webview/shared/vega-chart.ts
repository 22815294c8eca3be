import { changeset, parse, View } from 'vega';
import { expressionInterpreter } from 'vega-interpreter';
import { compile } from 'vega-lite';
import { type ChartModel, changeOf, type Row, type Signals } from './chart-model.ts';
import { buildSoon, leaveQueue, type Unbuilt } from './chart-queue.ts';
import { h, setAttribute } from './dom.ts';
import type { Theme } from './theme.ts';
import { vegaConfig } from './vega-config.ts';

/** A chart so near to what is in sight is drawn: it may be scrolled to at once. */
const MARGIN_PX = 200;

/** The rows of a data set, and what the view made of them. */
interface Flowed {
  readonly rows: readonly Row[];
  readonly tuples: readonly object[];
}
const NOTHING: Flowed = { rows: [], tuples: [] };

interface Place {
  readonly x: number;
  /** The value of a y axis of few values; null beside it, or where there is none. */
  readonly y: string | null;
}

/** What a chart is to show, and the key of what decides how it is built. */
interface Wanted {
  readonly model: ChartModel;
  readonly theme: Theme;
  readonly key: string;
}

/**
 * A chart on the page. It is built when its structure, the theme or its place changes; else only data flow into it, and
 * nothing into one that is out of sight. One out of sight is built when the page is idle, and is busy until then.
 */
export class VegaChart implements Unbuilt {
  readonly #container: HTMLElement;
  /** vega gives its element a role and a label of its own: those of the container are ours. */
  readonly #canvas = h('div', { 'aria-hidden': 'true' });
  #view: View | null = null;
  #key = '';
  #known: ReadonlyMap<string, Flowed> = new Map();
  #signals: Signals = {};
  #inSight = true;
  /** What came while it was out of sight, or is not built yet. */
  #late: Wanted | null = null;
  readonly #lateRows = new Map<string, readonly Row[]>();

  constructor(container: HTMLElement) {
    this.#container = container;
    container.append(this.#canvas);
    new ResizeObserver(() => this.#resize()).observe(container);
    const sight = new IntersectionObserver(
      (entries) => this.#see(entries.some(({ isIntersecting }) => isIntersecting)),
      { rootMargin: `${MARGIN_PX}px` },
    );
    sight.observe(container);
  }

  /** Shows the model. Without a place to draw (hidden behind its table) nothing is done. */
  show(model: ChartModel, theme: Theme): void {
    if (this.#container.clientWidth === 0) return;
    const key = JSON.stringify([model.spec, theme]);
    const isNew = !this.#view || key !== this.#key;
    this.#late = { model, theme, key };
    if (!isNew) {
      leaveQueue(this);
      if (this.#inSight) this.build();
      return;
    }
    this.#reserve(model.spec);
    setAttribute(this.#container, 'aria-busy', 'true');
    buildSoon(this);
  }

  isInSight(): boolean {
    const { top, bottom } = this.#container.getBoundingClientRect();
    return top < window.innerHeight && bottom > 0;
  }

  /** Draws what came last. */
  build(): void {
    const late = this.#late;
    if (!late || this.#container.clientWidth === 0) return;
    const { model, theme, key } = late;
    if (!this.#view || key !== this.#key) this.#build(model, theme, key);
    this.#late = null;
    this.#container.removeAttribute('aria-busy');
    this.#flow(model);
    for (const [name, rows] of this.#lateRows) this.setRows(name, rows);
    this.#lateRows.clear();
  }

  /** Puts rows into one data set at once: the cursor, which moves with the pointer. */
  setRows(name: string, rows: readonly Row[]): void {
    if (this.#late || !this.#inSight) {
      this.#lateRows.set(name, rows);
      return;
    }
    if (this.#view && this.#change(name, rows)) this.#view.run();
  }

  /** The value of the x axis under a place on the page; null beside the axis. */
  valueAt(clientX: number): number | null {
    const from = this.#origin();
    if (from === null) return null;
    const x = clientX - from.left;
    const scale = this.#view!.scale('x') as { invert(x: number): number; range(): [number, number] };
    const [first, last] = scale.range();
    return x < first - 8 || x > last + 8 ? null : scale.invert(Math.min(Math.max(x, first), last));
  }

  /** Both axes of a chart whose y axis has few values. */
  placeAt(clientX: number, clientY: number): Place | null {
    const [x, from] = [this.valueAt(clientX), this.#origin()];
    if (x === null || from === null) return null;
    const scale = this.#view!.scale('y') as {
      (value: string): number | undefined;
      domain(): string[];
      bandwidth?(): number;
    };
    const [height, y] = [scale.bandwidth?.() ?? 0, clientY - from.top];
    const found = scale.domain().find((value) => {
      const top = scale(value);
      return top !== undefined && y >= top && y <= top + height;
    });
    return { x, y: found ?? null };
  }

  #origin(): { readonly left: number; readonly top: number } | null {
    const drawing = this.#canvas.querySelector('svg');
    if (!this.#view || !drawing) return null;
    const { left, top } = drawing.getBoundingClientRect();
    const [x, y] = this.#view.origin();
    return { left: left + x, top: top + y };
  }

  #see(inSight: boolean): void {
    this.#inSight = inSight;
    // A chart that is near but not in sight waits for its turn: the frame that is due comes first.
    if (!inSight || (this.#late && this.#late.key !== this.#key && !this.isInSight())) return;
    leaveQueue(this);
    this.build();
  }

  /** What lies below a chart that is not built yet lies about where it will lie. */
  #reserve(spec: ChartModel['spec']): void {
    const height = 'height' in spec ? spec.height : null;
    if (typeof height === 'number') this.#canvas.style.minHeight = `${height}px`;
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
    this.#known = new Map();
    this.#signals = {};
  }

  /** Data and signals of one model are drawn together. */
  #flow({ data, signals }: ChartModel): void {
    const view = this.#view!;
    let changed = false;
    for (const [name, value] of Object.entries(signals))
      if (JSON.stringify(this.#signals[name]) !== JSON.stringify(value)) {
        view.signal(name, value);
        changed = true;
      }
    this.#signals = signals;
    for (const [name, rows] of Object.entries(data)) if (this.#change(name, rows)) changed = true;
    if (changed) view.run();
  }

  /** @returns whether there is anything to draw. */
  #change(name: string, rows: readonly Row[]): boolean {
    const { rows: old, tuples } = this.#known.get(name) ?? NOTHING;
    const { keep, insert } = changeOf(old, rows);
    if (keep === old.length && insert.length === 0) return false;
    // The view adds its own fields to what it is given.
    const made = insert.map((row) => ({ ...row }));
    const change = changeset().remove(tuples.slice(keep)).insert(made);
    this.#known = new Map(this.#known).set(name, { rows, tuples: [...tuples.slice(0, keep), ...made] });
    this.#view!.change(name, change);
    return true;
  }

  #resize(): void {
    const width = this.#container.clientWidth;
    if (!this.#view || width === 0 || this.#view.width() === width) return;
    this.#view.width(width).run();
  }
}
