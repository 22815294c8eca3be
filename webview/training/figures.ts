import { fill } from '../../src/protocol/panels/fill.ts';
import type { Objective, RunCurves, TrainingState } from '../../src/protocol/panels/training.ts';
import type { TrainingStrings } from '../../src/protocol/panels/training-strings.ts';
import type { Row } from '../shared/chart-model.ts';
import { checkbox } from '../shared/controls.ts';
import { button, h, setAttribute, setHidden, setText } from '../shared/dom.ts';
import type { Domain } from '../shared/domain.ts';
import { Figure, type FigureOut } from '../shared/figure.ts';
import { fillRows } from '../shared/fill-rows.ts';
import { formatNumber } from '../shared/format.ts';
import { lineSwatch } from '../shared/swatch.ts';
import { readTheme, type Theme } from '../shared/theme.ts';
import { axisKind, curvesOf, trainingChart } from './charts.ts';
import { type ChartDefinition, DASHES, DEFINITIONS, lossOf } from './definitions.ts';
import { type Cursor, legendValues, readout, spokenValues, titleOf, trainingTable } from './readouts.ts';
import { type CurveView, placesOf, rowAt, xAxisOf } from './view.ts';

interface Shown {
  definition: ChartDefinition;
  readonly figure: Figure;
  domain: Domain | null;
  /** What the axis was made for. */
  axisOf: string;
  legendKey: string;
}

/** Width of the widest curve that is drawn beside a text. */
const PIXELS = 600;

/** What a page keeps of its charts. */
export interface FigureToggles {
  /** Figures that are shown as tables, by their elements' ids. */
  readonly tables: readonly string[];
  readonly logLoss: boolean;
  /** Lines that are not drawn: `stepSize capR1`. */
  readonly hiddenLines: readonly string[];
}

export interface FigureWishes {
  readonly toggles: FigureToggles;
  /** Keeps a change, and draws. */
  keep(change: Partial<FigureToggles>): void;
  /** Shows a part of the x axis; null shows all of it. */
  zoom(part: Domain | null): void;
  readonly out: FigureOut;
}

/** The charts of the steps and the cursor they share. */
export class TrainingFigures {
  readonly element = h('div', { class: 'figures' });
  readonly #strings: TrainingStrings;
  readonly #wishes: FigureWishes;
  readonly #charts: readonly Shown[];
  /** Losses of other objectives than that of the run shown. */
  readonly #losses = new Map<Objective, Shown>();
  #curves: readonly RunCurves[] = [];
  #view: CurveView | null = null;
  #cursor: Cursor | null = null;
  /** Where the cursor stays when the pointer goes. */
  #pinned: Cursor | null = null;
  #run = '';
  #theme: Theme = readTheme();
  /** What the last drawing was of. */
  #drawn = { key: '', step: 0 };

  constructor(strings: TrainingStrings, wishes: FigureWishes) {
    this.#strings = strings;
    this.#wishes = wishes;
    this.#charts = DEFINITIONS.map((definition) => this.#made(definition));
    this.#charts[0]!.figure.tools.append(
      checkbox(strings.logLoss, wishes.toggles.logLoss, (logLoss) => wishes.keep({ logLoss })).element,
    );
    this.element.append(...this.#charts.map(({ figure }) => figure.element));
    fillRows(this.element);
  }

  /** @param learns whether there are steps, or will be. */
  show(state: TrainingState, theme: Theme, learns: boolean, view: CurveView): void {
    const { curves, run, remembered } = state;
    this.#curves = curves;
    this.#theme = theme;
    this.#view = view;
    const dir = curves[0]?.dir ?? '';
    if (dir !== this.#run) this.#forgetRun(dir);
    const own = curves[0]?.objective ?? 'cross-entropy';
    // The loss of the run shown is always in the same figure, whatever its objective.
    this.#charts[0]!.definition = lossOf(own);
    const others = [...new Set(curves.map(({ objective }) => objective))].filter((one) => one !== own);
    for (const objective of others) this.#addLoss(objective);
    for (const [objective, { figure }] of this.#losses)
      setHidden(figure.element, !learns || !others.includes(objective));
    for (const chart of this.#charts) {
      const isSaid = chart.definition.id === 'orthogonality' && (run?.orthogonal ?? null) !== null;
      setHidden(chart.figure.element, !learns || (isSaid && curves.length === 1));
    }
    if (run?.status === 'running' && !this.#isSeen(curves, [theme, view, learns, remembered.smoothing]))
      return;
    for (const chart of this.#all()) this.#draw(chart, theme);
  }

  /** Whether there is more to see than since the last drawing: a run of thousands of steps moves by less than a pixel. */
  #isSeen(curves: readonly RunCurves[], look: readonly unknown[]): boolean {
    const [own, ...others] = curves;
    const step = own?.steps.step.at(-1) ?? 0;
    const rest = others.map(({ dir, steps, objective }) => [dir, steps.step.at(-1), objective]);
    const key = JSON.stringify([own?.dir, rest, look, this.#wishes.toggles]);
    const pixel = this.#view?.zoom ? 0 : (own?.of ?? 0) / PIXELS;
    if (key === this.#drawn.key && step >= this.#drawn.step && step - this.#drawn.step < pixel) return false;
    this.#drawn = { key, step };
    return true;
  }

  /** Every chart that is not hidden. */
  #all(): Shown[] {
    return [...this.#charts, ...this.#losses.values()].filter(({ figure }) => !figure.element.hidden);
  }

  #made(definition: ChartDefinition, id: string = definition.id): Shown {
    const open = () => new Set(this.#wishes.toggles.tables);
    const figure = new Figure({
      id,
      title: titleOf(definition, this.#strings),
      about: aboutOf(definition, this.#strings, []),
      strings: this.#strings,
      asTable: open().has(id),
      out: this.#wishes.out,
      onToggle: (asTable) => {
        const tables = open();
        if (asTable) tables.add(id);
        else tables.delete(id);
        this.#wishes.keep({ tables: [...tables] });
      },
      onPoint: (x) => this.#point(x),
      onStep: (step) => this.#move(step),
      onPin: () => this.#pin(),
      onZoom: (part) => this.#wishes.zoom(part),
    });
    return { definition, domain: null, axisOf: '', legendKey: '', figure };
  }

  #addLoss(objective: Objective): void {
    if (this.#losses.has(objective)) return;
    const made = this.#made(lossOf(objective), `loss-${objective}`);
    this.#losses.set(objective, made);
    this.#charts[0]!.figure.element.after(made.figure.element);
  }

  #draw(chart: Shown, theme: Theme): void {
    const { definition, figure } = chart;
    const strings = this.#strings;
    const [curves, view] = [this.#curves, this.#view!];
    const own = curvesOf(curves, definition);
    const hidden = this.#hiddenIn(definition);
    const axisOf = JSON.stringify([axisKind(definition, view), view.zoom, view.x, hidden, view.hidden]);
    const previous = chart.axisOf === axisOf ? chart.domain : null;
    const drawn = trainingChart({ definition, curves, strings, theme, previous, view, hidden });
    chart.domain = drawn.domain;
    chart.axisOf = axisOf;
    const model = { ...drawn.model, readout: readout(definition, own, strings, this.#cursor) };
    figure.setReadoutLines(own.length > 2 && definition.series.length === 1 ? 2 : 1);
    figure.setTitle(titleOf(definition, strings));
    figure.setAbout(aboutOf(definition, strings, model.data.rules ?? [], curves[0]));
    figure.show(
      model,
      () => trainingTable(definition, own, strings),
      theme,
      () => trainingTable(definition, own, strings, true),
    );
    this.#showLegend(chart, theme);
    this.#say(chart);
  }

  #hiddenIn({ id }: ChartDefinition): string[] {
    const prefix = `${id} `;
    return this.#wishes.toggles.hiddenLines
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length));
  }

  /** Axes stay still for the steps of one run, not from run to run. */
  #forgetRun(run: string): void {
    this.#run = run;
    this.#cursor = null;
    this.#pinned = null;
    for (const chart of [...this.#charts, ...this.#losses.values()]) chart.domain = null;
  }

  /** Signs and names stay; their values follow the steps and the cursor. A click on one hides its line. */
  #showLegend(chart: Shown, theme: Theme): void {
    const { definition, figure } = chart;
    const items = legendValues(definition, this.#curves, this.#strings, this.#cursor);
    const hidden = this.#hiddenIn(definition);
    const key = JSON.stringify([items.map(({ index }) => index), theme.foreground, hidden]);
    if (key !== chart.legendKey) {
      chart.legendKey = key;
      figure.legend.replaceChildren(
        ...items.map(({ index, name }) => this.#legendItem(definition, index, name, theme, hidden)),
      );
    }
    items.forEach(({ value }, order) => {
      setText(figure.legend.children[order]!.querySelector('output')!, value);
    });
  }

  #legendItem(
    { id, series }: ChartDefinition,
    index: number,
    name: string,
    theme: Theme,
    hidden: readonly string[],
  ): HTMLElement {
    const line = series[index]!.id;
    const isShown = !hidden.includes(line);
    const toggle = button('', () => this.#toggleLine(`${id} ${line}`), {
      class: 'toggle',
      'aria-pressed': String(isShown),
      'aria-label': fill(this.#strings.showLine, name),
    });
    toggle.append(lineSwatch(theme.foreground, DASHES[index] ?? DASHES[0]), name);
    return h('span', {}, toggle, h('output'));
  }

  #toggleLine(line: string): void {
    const { hiddenLines } = this.#wishes.toggles;
    const others = hiddenLines.filter((one) => one !== line);
    this.#wishes.keep({ hiddenLines: others.length < hiddenLines.length ? others : [...others, line] });
  }

  /** Reads at the step of the run shown that is nearest to the pointer; else at that of any other. */
  #point(x: number | null): void {
    this.#put(x === null ? this.#pinned : this.#cursorAt(x));
  }

  #cursorAt(x: number): Cursor | null {
    const axis = xAxisOf(this.#curves, this.#view!, this.#strings);
    for (const curve of this.#curves) {
      const places = placesOf(curve, axis);
      const row = rowAt(places, x);
      if (row >= 0) return { place: places[row]!, axis };
    }
    return null;
  }

  /** Where it is, or away again. */
  #pin(): void {
    const isThere = this.#pinned !== null && this.#pinned.place === this.#cursor?.place;
    this.#pinned = isThere ? null : this.#cursor;
    for (const { figure } of this.#all())
      setAttribute(figure.element, 'data-pinned', this.#pinned === null ? null : this.#strings.pinned);
  }

  #put(cursor: Cursor | null): void {
    if (cursor?.place === this.#cursor?.place) return;
    this.#cursor = cursor;
    for (const chart of this.#all()) {
      const own = curvesOf(this.#curves, chart.definition);
      chart.figure.setRows('cursor', cursor === null ? [] : [{ step: cursor.place }]);
      chart.figure.setReadout(readout(chart.definition, own, this.#strings, cursor));
      this.#showLegend(chart, this.#theme);
      this.#say(chart);
    }
  }

  #move(step: -1 | 1 | 'first' | 'last'): void {
    const [own] = this.#curves;
    if (own === undefined || own.steps.step.length === 0) return;
    const axis = xAxisOf(this.#curves, this.#view!, this.#strings);
    const places = placesOf(own, axis);
    const present = this.#cursor === null ? places.length - 1 : rowAt(places, this.#cursor.place);
    const next = step === 'first' ? 0 : step === 'last' ? places.length - 1 : present + step;
    this.#put({ place: places[Math.min(Math.max(next, 0), places.length - 1)]!, axis });
  }

  #say({ definition, figure }: Shown): void {
    const steps = this.#curves[0]?.steps.step ?? [];
    const last = steps.at(-1) ?? 0;
    const own = curvesOf(this.#curves, definition);
    const text = spokenValues(definition, own, this.#strings, this.#cursor);
    const row = this.#cursor && rowAt(placesOf(this.#curves[0]!, this.#cursor.axis), this.#cursor.place);
    figure.setPosition(steps[row ?? -1] ?? last, steps[0] ?? 0, last, text);
  }
}

/** The quantity drawn, with the numbers that belong to it. */
function aboutOf(
  { id }: ChartDefinition,
  strings: TrainingStrings,
  rules: readonly Row[],
  run?: RunCurves,
): string {
  if (id === 'stepSize' && run && !run.cayley) return strings.uncapped;
  const clip = rules[0]?.value;
  return typeof clip === 'number' ? fill(strings.clip, formatNumber(clip, 2)) : strings.about[id];
}
