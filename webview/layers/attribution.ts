import { type AttributionMeasure, sumOf, sumsByPart } from '../../src/protocol/attribution-sums.ts';
import type { RoundedPart, Site } from '../../src/protocol/block.ts';
import {
  type AttributionView,
  BIT_CHOICES,
  type BitChoice,
  EXCEPTION_TARGETS,
  type ExceptionTarget,
  LAYER_CHOICES,
  type LayerChoice,
  partsOf,
  siteOfPart,
  TARGETS,
} from '../../src/protocol/panels/attribution.ts';
import { fill } from '../../src/protocol/panels/fill.ts';
import type { LayersIntent, LayersState } from '../../src/protocol/panels/layers.ts';
import type { LayersStrings } from '../../src/protocol/panels/layers-strings.ts';
import { Picker, pushButton } from '../shared/controls.ts';
import { h, setHidden, setText } from '../shared/dom.ts';
import { Figure } from '../shared/figure.ts';
import { formatCount, formatNumber, formatPerplexity } from '../shared/format.ts';
import type { Theme } from '../shared/theme.ts';
import {
  attributionMap,
  attributionReadout,
  attributionTable,
  lossMeasures,
  natsText,
  rowNames,
} from './attribution-map.ts';
import { budgetCurve, curveTable, pointAt, pointReadout, pointText } from './budget-curve.ts';

export type AttributionFigure = 'attribution' | 'budget-curve';

export interface AttributionToggles {
  readonly attributionTables: readonly AttributionFigure[];
  readonly lossMeasure: AttributionMeasure;
}

interface Wishes {
  keep(change: Partial<AttributionToggles>): void;
  readonly toggles: AttributionToggles;
  redraw(): void;
  send(intent: LayersIntent): void;
  choosePlace(layer: number, site: Site): void;
}

/** Where quantization costs the loss, and what more bits there buy; without it, what would stand here. */
export class AttributionSection {
  readonly element: HTMLElement;
  readonly #wishes: Wishes;
  readonly #strings: LayersStrings;
  readonly #none: HTMLElement;
  readonly #found: HTMLElement;
  readonly #about = h('p', { class: 'quiet' });
  readonly #stats = h('dl', { class: 'stats' });
  readonly #map: Figure;
  readonly #curve: Figure;
  readonly #measure: Picker;
  readonly #target: Picker;
  readonly #layers: Picker;
  readonly #bits: Picker;
  readonly #point: Picker;
  readonly #points: HTMLElement;
  #view: AttributionView | null = null;
  #place: { readonly layer: number; readonly part: RoundedPart | null } = { layer: 0, part: null };
  /** Where the panel was. */
  #seen = '';
  /** Chosen by the person; the dearest one until then. */
  #chosen: { target: ExceptionTarget | null; layers: LayerChoice; bits: BitChoice; point: number } = {
    ...{ target: null, layers: 'worst:4', bits: 8, point: 1 },
  };

  constructor(strings: LayersStrings, wishes: Wishes) {
    const { attribution: texts } = strings;
    this.#strings = strings;
    this.#wishes = wishes;
    this.#map = this.#figure('attribution', texts.map, texts.mapAbout, {
      onPoint: () => this.#map.setReadout(this.#readout()),
      onPlace: (x, row, pressed) => this.#pointAtPlace(x, row, pressed),
      onStep: (step) => this.#step(step),
      onRow: (step) => this.#stepPart(step),
    });
    this.#curve = this.#figure('budget-curve', texts.curve, texts.curveAbout, {
      onPoint: (x) => this.#pointAtBits(x),
    });
    for (const { element } of [this.#map, this.#curve]) element.classList.add('full');
    this.#measure = new Picker(texts.measure, (value) => this.#chooseMeasure(value), true);
    this.#map.tools.append(this.#measure.element);
    this.#target = new Picker(texts.target, (value) => {
      this.#chosen.target = TARGETS.find((one) => one === value) ?? null;
    });
    this.#layers = new Picker(texts.layersOf, (value) => {
      this.#chosen.layers = LAYER_CHOICES.find((one) => one === value) ?? 'worst:4';
    });
    this.#bits = new Picker(texts.bits, (value) => {
      this.#chosen.bits = BIT_CHOICES.find((one) => String(one) === value) ?? 8;
    });
    const choosePoint = (value: string) => {
      this.#chosen.point = Number(value);
    };
    this.#point = new Picker(texts.averageBits, choosePoint, true);
    const use = () => wishes.send({ type: 'use-point', point: this.#chosen.point });
    this.#points = h('div', { class: 'row' }, this.#point.element, pushButton(texts.use, use, true));
    this.#none = this.#makeNone();
    this.#found = this.#makeFound();
    this.element = h(
      'section',
      { class: 'attribution', 'aria-labelledby': 'attribution-heading' },
      h('h2', { id: 'attribution-heading' }, texts.title),
      this.#none,
      this.#found,
    );
  }

  #makeNone(): HTMLElement {
    const { attribution: texts } = this.#strings;
    return h(
      'div',
      { class: 'loss-none' },
      h('p', {}, texts.none),
      h('p', { class: 'quiet' }, texts.noneTime),
      pushButton(texts.attribute, () => this.#wishes.send({ type: 'attribute' })),
    );
  }

  #makeFound(): HTMLElement {
    const { attribution: texts } = this.#strings;
    const choices = [this.#target, this.#layers, this.#bits].map(({ element }) => element);
    const put = pushButton(texts.put, () => this.#put(), true);
    const again = pushButton(texts.attribute, () => this.#wishes.send({ type: 'attribute' }), true);
    return h(
      'div',
      { class: 'loss-found' },
      this.#about,
      this.#stats,
      h('div', { class: 'figures' }, this.#map.element),
      h('div', { class: 'row' }, ...choices, put),
      h('div', { class: 'figures' }, this.#curve.element),
      this.#points,
      h('div', { class: 'row' }, again),
    );
  }

  #chooseMeasure(value: string): void {
    const measure = this.#view && lossMeasures(this.#view).find((one) => one === value);
    this.#wishes.keep({ lossMeasure: measure ?? 'rise' });
    this.#wishes.redraw();
  }

  show(state: LayersState, theme: Theme): void {
    const { attribution: view, detail } = state;
    this.#view = view;
    setHidden(this.#none, view !== null);
    setHidden(this.#found, view === null);
    if (view === null) return;
    if (detail) this.#follow(view, detail);
    this.#showFacts(view);
    this.#showChoices(view);
    const hasCurve = view.curve.length > 0;
    setHidden(this.#curve.element, !hasCurve);
    setHidden(this.#points, !hasCurve);
    this.#showFigures(view, theme);
  }

  #showFigures(view: AttributionView, theme: Theme): void {
    this.#showMap(view, theme);
    if (view.curve.length === 0) return;
    const table = (exact: boolean) => () => curveTable(view, this.#strings, exact);
    this.#curve.show(budgetCurve(view, this.#strings, theme), table(false), theme, table(true));
    this.#curve.setReadout(pointReadout(view, this.#chosen.point, this.#strings));
  }

  /** The panel went to another place. A weight that was chosen here stands for what it is multiplied with. */
  #follow(view: AttributionView, { layer, site }: { readonly layer: number; readonly site: Site }): void {
    const seen = `${layer} ${site}`;
    if (seen === this.#seen) return;
    this.#seen = seen;
    const { part } = this.#place;
    const isSame = part !== null && siteOfPart(part) === site;
    const own = isSame ? part : (partsOf(view).find((one) => one === site) ?? null);
    this.#place = { layer: Math.min(layer, view.layers - 1), part: own };
  }

  get #lossMeasure(): AttributionMeasure {
    const { lossMeasure } = this.#wishes.toggles;
    return this.#view && lossMeasures(this.#view).includes(lossMeasure) ? lossMeasure : 'rise';
  }

  /** The whole rise, and what single roundings add up to: the rest comes of their being together. */
  #showFacts(view: AttributionView): void {
    const { attribution: texts } = this.#strings;
    const { bits, weights, tokens, loss } = view;
    setText(this.#about, fill(texts.about, bits, weights, formatCount(tokens)));
    const whole = loss.quantized - loss.fullPrecision;
    const sum = sumOf(view.cells, view.cells.some(({ measured }) => measured) ? 'measured rise' : 'rise');
    const share = fill(this.#strings.percent, formatNumber((100 * sum) / whole, 2));
    const pair = (values: readonly number[], text: (value: number) => string) => values.map(text).join(' → ');
    const losses = [loss.fullPrecision, loss.quantized];
    const facts = [
      [texts.loss, `${pair(losses, (value) => value.toFixed(3))} (${fill(texts.nats, natsText(whole))})`],
      [texts.perplexity, pair(losses, (value) => formatPerplexity(Math.exp(value)))],
      [texts.sumOfRises, fill(texts.ofWhole, natsText(sum), share)],
      [texts.interaction, fill(texts.nats, natsText(whole - sum))],
    ];
    this.#stats.replaceChildren(
      ...facts.map(([name, value]) =>
        h('div', { class: 'stat' }, h('dt', {}, name ?? ''), h('dd', {}, value ?? '')),
      ),
    );
  }

  #showMap(view: AttributionView, theme: Theme): void {
    const measure = this.#lossMeasure;
    const strings = this.#strings;
    this.#measure.show(
      lossMeasures(view).map((value) => ({ value, label: strings.attribution.measures[value] })),
      measure,
    );
    const model = attributionMap(view, measure, this.#place, strings, theme);
    const table = (exact: boolean) => () => attributionTable(view, measure, strings, exact);
    this.#map.show({ ...model, readout: this.#readout() }, table(false), theme, table(true));
    this.#map.setPosition(this.#place.layer, 0, view.layers - 1, this.#readout());
  }

  #showChoices(view: AttributionView): void {
    const { attribution: texts } = this.#strings;
    const rounded = partsOf(view);
    const targets = TARGETS.filter((target) =>
      EXCEPTION_TARGETS[target].some((part) => rounded.includes(part)),
    );
    this.#target.show(
      targets.map((value) => ({ value, label: texts.targets[value] })),
      this.#targetOf(view),
    );
    this.#layers.show(
      LAYER_CHOICES.map((value) => ({ value, label: texts.layerChoices[value] })),
      this.#chosen.layers,
    );
    this.#bits.show(
      BIT_CHOICES.map((value) => ({ value: String(value), label: String(value) })),
      String(this.#chosen.bits),
    );
    const points = view.curve.map((point, at) => ({
      value: String(at),
      label: pointText(point, this.#strings),
    }));
    // The first has no exceptions.
    this.#point.show(points.slice(1), String(this.#chosen.point));
  }

  /** The chosen one, else the dearest. */
  #targetOf(view: AttributionView): ExceptionTarget {
    if (this.#chosen.target !== null) return this.#chosen.target;
    const sums = new Map(sumsByPart(view, this.#lossMeasure).map(({ part, sum }) => [part as string, sum]));
    const of = (target: ExceptionTarget): number =>
      EXCEPTION_TARGETS[target].reduce((sum, part) => sum + (sums.get(part) ?? 0), 0);
    return TARGETS.reduce((most, target) => (of(target) > of(most) ? target : most));
  }

  #put(): void {
    if (!this.#view) return;
    const { layers, bits } = this.#chosen;
    this.#wishes.send({ type: 'except', target: this.#targetOf(this.#view), layers, bits });
  }

  #readout(place = this.#place): string {
    return this.#view ? attributionReadout(this.#view, this.#lossMeasure, place, this.#strings) : '';
  }

  #pointAtPlace(x: number, row: string | null, pressed: boolean): void {
    const view = this.#view;
    if (!view) return;
    const names = rowNames(view, this.#lossMeasure, this.#strings);
    const found = [...names].find(([, name]) => name === row);
    if (!found) return;
    const place = { layer: Math.min(Math.max(Math.round(x), 0), view.layers - 1), part: found[0] };
    this.#map.setReadout(this.#readout(place));
    if (pressed) this.#go(place);
  }

  #go(place: { readonly layer: number; readonly part: RoundedPart | null }): void {
    this.#place = place;
    const part = place.part ?? 'attention-input';
    this.#wishes.choosePlace(place.layer, siteOfPart(part));
    this.#wishes.redraw();
  }

  #step(step: -1 | 1 | 'first' | 'last'): void {
    if (!this.#view) return;
    const last = this.#view.layers - 1;
    const next = step === 'first' ? 0 : step === 'last' ? last : this.#place.layer + step;
    this.#go({ ...this.#place, layer: Math.min(Math.max(next, 0), last) });
  }

  #stepPart(step: -1 | 1): void {
    if (!this.#view) return;
    const parts = partsOf(this.#view);
    const at = this.#place.part === null ? -1 : parts.indexOf(this.#place.part);
    const part = parts[Math.min(Math.max(at + step, 0), parts.length - 1)];
    if (part) this.#go({ ...this.#place, part });
  }

  #pointAtBits(x: number | null): void {
    const view = this.#view;
    if (!view) return;
    const at = x === null ? this.#chosen.point : pointAt(view, x);
    const point = view.curve[at];
    this.#curve.setRows('cursor', x === null || !point ? [] : [{ bits: point.bits }]);
    this.#curve.setReadout(pointReadout(view, at, this.#strings));
  }

  #figure(
    id: AttributionFigure,
    title: string,
    about: string,
    listeners: Pick<ConstructorParameters<typeof Figure>[0], 'onPoint' | 'onPlace' | 'onStep' | 'onRow'>,
  ): Figure {
    const { toggles } = this.#wishes;
    return new Figure({
      ...{ id, title, about, strings: this.#strings },
      out: (intent) => this.#wishes.send(intent),
      asTable: toggles.attributionTables.includes(id),
      onToggle: (asTable) => {
        const others = this.#wishes.toggles.attributionTables.filter((one) => one !== id);
        this.#wishes.keep({ attributionTables: asTable ? [...others, id] : others });
        this.#wishes.redraw();
      },
      ...listeners,
    });
  }
}
