import type { Site } from '../../src/protocol/block.ts';
import { fill } from '../../src/protocol/panels/fill.ts';
import type { LayersState, OtherRun, SiteDetail } from '../../src/protocol/panels/layers.ts';
import type { LayersStrings } from '../../src/protocol/panels/layers-strings.ts';
import { checkbox, Picker } from '../shared/controls.ts';
import { h, setText } from '../shared/dom.ts';
import { Figure, type FigureOptions, type FigureOut } from '../shared/figure.ts';
import { fillRows } from '../shared/fill-rows.ts';
import { formatCount } from '../shared/format.ts';
import { layersLegend } from '../shared/swatch.ts';
import { beforeColor, type Theme } from '../shared/theme.ts';
import { cellReadout, channelsAbout, channelsChart, channelsTable } from './channels.ts';
import { depthChart, depthSummary, depthTable, depthValues, type Measure } from './depth.ts';
import {
  type Measure as HeatMeasure,
  heatMapChart,
  heatMapTable,
  MEASURES,
  placeReadout,
  siteNamed,
} from './heat-map.ts';
import {
  binAt,
  binReadout,
  binRow,
  gridAbout,
  histogramChart,
  histogramTable,
  SIDES,
  type Side,
} from './histogram.ts';

/** What of a run decides the axes of the one beside it. */
export type Beside = Pick<OtherRun, 'depth' | 'detail'>;

export type FigureId = 'histogram' | 'channels' | 'sqnr-depth' | 'kurtosis-depth' | 'heat-map';

export interface LayersToggles {
  readonly tables: readonly FigureId[];
  readonly logCounts: boolean;
  readonly sorted: boolean;
  /** Lines that the depth charts leave out. */
  readonly hidden: readonly Side[];
  /** What the heat map shows. */
  readonly measure: HeatMeasure;
}

interface Wishes {
  keep(change: Partial<LayersToggles>): void;
  readonly toggles: LayersToggles;
  redraw(): void;
  /** The layer chosen, though its data may not have come yet. */
  readonly layer: number;
  chooseLayer(layer: number): void;
  choosePlace(layer: number, site: Site): void;
  readonly out: FigureOut;
}

const DEPTHS: readonly { readonly id: FigureId; readonly measure: Measure }[] = [
  { id: 'sqnr-depth', measure: 'sqnrDb' },
  { id: 'kurtosis-depth', measure: 'kurtosis' },
];

/** The histogram, both depth charts and the channel maxima. */
export class LayersFigures {
  readonly element: HTMLElement;
  readonly #wishes: Wishes;
  readonly #open: Set<FigureId>;
  readonly #histogram: Figure;
  readonly #channels: Figure;
  readonly #depths: readonly { readonly measure: Measure; readonly figure: Figure }[];
  #state: LayersState | null = null;
  /** Layer under the pointer. */
  #cursor: number | null = null;
  #legendKey = '';
  readonly #heat: Figure;
  readonly #measure: Picker;
  /** Part of the histogram's axis. */
  #zoom: readonly [number, number] | null = null;
  #zoomOf = '';
  readonly #idPrefix: string;

  /** @param idPrefix tells the figures of a run that stands beside another from those of that. */
  constructor(strings: LayersStrings, wishes: Wishes, idPrefix = '') {
    this.#idPrefix = idPrefix;
    this.#wishes = wishes;
    this.#open = new Set(wishes.toggles.tables);
    this.#histogram = this.#figure('histogram', strings.histogram, '', strings, {
      onPoint: (x) => this.#pointBin(x),
      onZoom: (part) => this.#zoomTo(part),
    });
    this.#channels = this.#figure('channels', strings.channels, '', strings, {
      onPoint: (x) => this.#pointCell(x),
    });
    this.#depths = DEPTHS.map(({ id, measure }) => {
      const sqnr = measure === 'sqnrDb';
      const title = sqnr ? strings.sqnrDepth : strings.kurtosisDepth;
      const about = sqnr ? strings.sqnrDepthAbout : strings.kurtosisDepthAbout;
      const figure = this.#figure(id, title, about, strings, {
        onPoint: (x) => this.#pointLayer(x),
        onPick: (x) => this.#pick(x),
        onStep: (step) => this.#move(step),
      });
      return { measure, figure };
    });
    this.#heat = this.#figure('heat-map', strings.heatMap, strings.heatMapAbout, strings, {
      onPoint: () => this.#heat.setReadout(this.#heatText()),
      onPlace: (x, row, pressed) => this.#pointPlace(x, row, pressed),
      onStep: (step) => this.#move(step),
      onRow: (step) => this.#moveSite(step),
    });
    const { logCounts, sorted } = wishes.toggles;
    const change = (toggles: Partial<LayersToggles>): void => {
      wishes.keep(toggles);
      wishes.redraw();
    };
    this.#histogram.tools.append(
      checkbox(strings.logCount, logCounts, (on) => change({ logCounts: on })).element,
    );
    this.#channels.tools.append(checkbox(strings.sorted, sorted, (on) => change({ sorted: on })).element);
    this.#measure = new Picker(strings.measure, (value) =>
      change({ measure: MEASURES.find((one) => one === value) ?? 'sqnr-after' }),
    );
    this.#heat.tools.append(this.#measure.element);
    for (const full of [this.#histogram, this.#heat, this.#channels]) full.element.classList.add('full');
    const all = [this.#histogram, ...this.#depths.map(({ figure }) => figure), this.#heat, this.#channels];
    this.element = h('div', { class: 'figures' }, ...all.map(({ element }) => element));
    fillRows(this.element);
  }

  /** @param beside the run on the other side: both have the same axes. */
  show(state: LayersState, theme: Theme, beside: Beside | null = null): void {
    this.#state = state;
    const { detail, strings } = state;
    if (!detail) return;
    this.#showHistogram(state, detail, theme, beside?.detail ?? null);
    const { sorted, hidden } = this.#wishes.toggles;
    this.#channels.setAbout(channelsAbout(detail, strings));
    this.#channels.show(
      channelsChart(detail, strings, theme, sorted),
      () => channelsTable(detail, strings),
      theme,
    );
    for (const { measure, figure } of this.#depths) {
      const view = { beside: beside?.depth ?? null, hidden };
      const model = depthChart(state, measure, detail.site, detail.layer, theme, view);
      const table = (exact: boolean) => () => depthTable(state, measure, detail.site, exact);
      figure.show(model, table(false), theme, table(true));
      const text = depthSummary(state, measure, detail.site, detail.layer);
      figure.setPosition(detail.layer, 0, state.layers - 1, text);
    }
    this.#showHeat(state, detail, theme);
    this.#showLegends(theme);
  }

  #showHistogram(state: LayersState, detail: SiteDetail, theme: Theme, beside: SiteDetail | null): void {
    const { strings, run } = state;
    const place = `${run?.dir} ${detail.layer} ${detail.site}`;
    if (place !== this.#zoomOf) this.#zoom = null;
    this.#zoomOf = place;
    const values = fill(strings.histogramAbout, formatCount(detail.tokens), detail.before.counts.length);
    this.#histogram.setAbout(`${values}; ${gridAbout(detail, strings)}`);
    const { logCounts } = this.#wishes.toggles;
    const model = histogramChart(detail, strings, theme, { logCounts, beside, zoom: this.#zoom });
    this.#histogram.show(model, () => histogramTable(detail, strings), theme);
  }

  #showHeat(state: LayersState, detail: SiteDetail, theme: Theme): void {
    const { strings } = state;
    const { measure } = this.#wishes.toggles;
    this.#measure.show(
      MEASURES.map((value) => ({ value, label: strings.measures[value] })),
      measure,
    );
    const table = (exact: boolean) => () => heatMapTable(state, measure, exact);
    const model = heatMapChart(state, measure, detail, theme);
    this.#heat.show({ ...model, readout: this.#heatText() }, table(false), theme, table(true));
    this.#heat.setPosition(detail.layer, 0, state.layers - 1, this.#heatText());
  }

  /** Of the place under the pointer; else of the one chosen. */
  #heatText(layer = this.#state?.detail?.layer, site = this.#state?.detail?.site): string {
    if (!this.#state || layer === undefined || site === undefined) return '';
    return placeReadout(this.#state, layer, site, this.#wishes.toggles.measure);
  }

  #pointPlace(x: number, row: string | null, pressed: boolean): void {
    const site = this.#state && siteNamed(row, this.#state.strings);
    if (!site) return;
    const layer = this.#layerAt(x);
    this.#heat.setReadout(this.#heatText(layer, site));
    const { detail } = this.#state!;
    if (pressed && (detail?.layer !== layer || detail.site !== site)) this.#wishes.choosePlace(layer, site);
  }

  #moveSite(step: -1 | 1): void {
    const { sites = [], detail } = this.#state ?? {};
    const next = detail && sites[sites.indexOf(detail.site) + step];
    if (next) this.#wishes.choosePlace(this.#wishes.layer, next);
  }

  #zoomTo(part: readonly [number, number] | null): void {
    this.#zoom = part;
    this.#wishes.redraw();
  }

  #figure(
    id: FigureId,
    title: string,
    about: string,
    strings: LayersStrings,
    listeners: Pick<FigureOptions, 'onPoint' | 'onPick' | 'onStep' | 'onZoom' | 'onPlace' | 'onRow'>,
  ): Figure {
    return new Figure({
      id: `${this.#idPrefix}${id}`,
      ...(this.#idPrefix !== '' && { within: `${this.#idPrefix}title` }),
      title,
      out: this.#wishes.out,
      about,
      strings,
      asTable: this.#open.has(id),
      onToggle: (asTable) => {
        if (asTable) this.#open.add(id);
        else this.#open.delete(id);
        this.#wishes.keep({ tables: [...this.#open] });
        this.#wishes.redraw();
      },
      ...listeners,
    });
  }

  #pointBin(x: number | null): void {
    const detail = this.#state?.detail;
    if (!detail) return;
    const bin = x === null ? null : binAt(detail, x);
    this.#histogram.setRows('cursor', bin === null ? [] : [binRow(detail, bin)]);
    this.#histogram.setReadout(bin === null ? '' : binReadout(detail, bin, this.#state!.strings));
  }

  #pointCell(x: number | null): void {
    const detail = this.#state?.detail;
    if (!detail) return;
    const { sorted } = this.#wishes.toggles;
    this.#channels.setReadout(x === null ? '' : cellReadout(detail, x, sorted, this.#state!.strings));
  }

  #layerAt(x: number): number {
    return Math.min(Math.max(Math.round(x), 0), (this.#state?.layers ?? 1) - 1);
  }

  #pointLayer(x: number | null): void {
    const layer = x === null ? null : this.#layerAt(x);
    if (layer === this.#cursor) return;
    this.#cursor = layer;
    for (const { figure } of this.#depths) figure.setRows('cursor', layer === null ? [] : [{ layer }]);
    this.#showLegendValues();
  }

  #pick(x: number): void {
    const layer = this.#layerAt(x);
    if (layer !== this.#wishes.layer) this.#wishes.chooseLayer(layer);
  }

  #move(step: -1 | 1 | 'first' | 'last'): void {
    const last = (this.#state?.layers ?? 1) - 1;
    const next = step === 'first' ? 0 : step === 'last' ? last : this.#wishes.layer + step;
    this.#wishes.chooseLayer(Math.min(Math.max(next, 0), last));
  }

  #showLegends(theme: Theme): void {
    const strings = this.#state!.strings;
    const { hidden } = this.#wishes.toggles;
    const key = `${beforeColor(theme)} ${theme.accent} ${hidden.join(' ')}`;
    if (key !== this.#legendKey) {
      this.#legendKey = key;
      for (const { figure } of this.#depths)
        figure.legend.replaceChildren(
          ...layersLegend(theme, [strings.before, strings.after], {
            hidden: hidden.map((side) => strings[side]),
            label: strings.showLine,
            toggle: (name) => this.#toggle(SIDES.find((side) => strings[side] === name)!),
          }),
        );
    }
    this.#showLegendValues();
  }

  #toggle(side: Side): void {
    const { hidden } = this.#wishes.toggles;
    const others = hidden.filter((one) => one !== side);
    this.#wishes.keep({ hidden: others.length < hidden.length ? others : [...others, side] });
    this.#wishes.redraw();
  }

  /** Shows values of the layer under the pointer, else of the one chosen. */
  #showLegendValues(): void {
    const state = this.#state;
    if (!state?.detail) return;
    const { site, layer: chosen } = state.detail;
    const layer = this.#cursor ?? chosen;
    for (const { measure, figure } of this.#depths) {
      figure.setReadout(fill(state.strings.layerNumber, layer));
      depthValues(state, measure, site, layer).forEach((value, index) => {
        setText(figure.legend.children[index]!.querySelector('output')!, value);
      });
    }
  }
}
