import { fill } from '../../src/protocol/panels/fill.ts';
import type { LayersState } from '../../src/protocol/panels/layers.ts';
import type { LayersStrings } from '../../src/protocol/panels/layers-strings.ts';
import { checkbox } from '../shared/controls.ts';
import { h, setText } from '../shared/dom.ts';
import { Figure } from '../shared/figure.ts';
import { formatCount } from '../shared/format.ts';
import { layersLegend } from '../shared/swatch.ts';
import type { Theme } from '../shared/theme.ts';
import { cellReadout, channelsAbout, channelsChart, channelsTable } from './channels.ts';
import { depthChart, depthSummary, depthTable, depthValues, type Measure } from './depth.ts';
import { binAt, binReadout, binRow, gridAbout, histogramChart, histogramTable } from './histogram.ts';

export type FigureId = 'histogram' | 'channels' | 'sqnr-depth' | 'kurtosis-depth';

export interface LayersToggles {
  readonly tables: readonly FigureId[];
  readonly logCounts: boolean;
  readonly sorted: boolean;
}

interface Wishes {
  keep(change: Partial<LayersToggles>): void;
  readonly toggles: LayersToggles;
  redraw(): void;
  /** The layer chosen, though its data may not have come yet. */
  readonly layer: number;
  chooseLayer(layer: number): void;
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

  constructor(strings: LayersStrings, wishes: Wishes) {
    this.#wishes = wishes;
    this.#open = new Set(wishes.toggles.tables);
    this.#histogram = this.#figure('histogram', strings.histogram, '', strings, {
      onPoint: (x) => this.#pointBin(x),
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
    const { logCounts, sorted } = wishes.toggles;
    const change = (toggles: Partial<LayersToggles>): void => {
      wishes.keep(toggles);
      wishes.redraw();
    };
    this.#histogram.tools.append(
      checkbox(strings.logCount, logCounts, (on) => change({ logCounts: on })).element,
    );
    this.#channels.tools.append(checkbox(strings.sorted, sorted, (on) => change({ sorted: on })).element);
    for (const full of [this.#histogram, this.#channels]) full.element.classList.add('full');
    this.element = h(
      'div',
      { class: 'figures' },
      this.#histogram.element,
      ...this.#depths.map(({ figure }) => figure.element),
      this.#channels.element,
    );
  }

  show(state: LayersState, theme: Theme): void {
    this.#state = state;
    const { detail, strings } = state;
    if (!detail) return;
    const { logCounts, sorted } = this.#wishes.toggles;
    const bins = detail.before.counts.length;
    const values = fill(strings.histogramAbout, formatCount(detail.tokens), bins);
    this.#histogram.setAbout(`${values}; ${gridAbout(detail, strings)}`);
    this.#histogram.show(
      histogramChart(detail, strings, theme, logCounts),
      () => histogramTable(detail, strings),
      theme,
    );
    this.#channels.setAbout(channelsAbout(detail, strings));
    this.#channels.show(
      channelsChart(detail, strings, theme, sorted),
      () => channelsTable(detail, strings),
      theme,
    );
    for (const { measure, figure } of this.#depths) {
      const model = depthChart(state, measure, detail.site, detail.layer, theme);
      figure.show(model, () => depthTable(state, measure, detail.site), theme);
      const text = depthSummary(state, measure, detail.site, detail.layer);
      figure.setPosition(detail.layer, 0, state.layers - 1, text);
    }
    this.#showLegends(theme);
  }

  #figure(
    id: FigureId,
    title: string,
    about: string,
    strings: LayersStrings,
    listeners: {
      onPoint(x: number | null): void;
      onPick?(x: number): void;
      onStep?(step: -1 | 1 | 'first' | 'last'): void;
    },
  ): Figure {
    return new Figure({
      id,
      title,
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
    const key = `${theme.muted} ${theme.accent}`;
    if (key !== this.#legendKey) {
      this.#legendKey = key;
      for (const { figure } of this.#depths)
        figure.legend.replaceChildren(...layersLegend(theme, [strings.before, strings.after]));
    }
    this.#showLegendValues();
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
