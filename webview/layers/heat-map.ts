/** All layers and sites at one glance, by one measure. */
import { SITES, type Site } from '../../src/protocol/block.ts';
import { fill } from '../../src/protocol/panels/fill.ts';
import type { DepthPoint, LayersState } from '../../src/protocol/panels/layers.ts';
import type { LayersStrings } from '../../src/protocol/panels/layers-strings.ts';
import type { ChartModel, ChartSpec, Row, TableModel } from '../shared/chart-model.ts';
import { formatDecibel, formatNumber } from '../shared/format.ts';
import { fittedSpec, xAxis } from '../shared/spec-parts.ts';
import type { Theme } from '../shared/theme.ts';
import { colorLegend } from './color-legend.ts';

export type Measure = keyof LayersStrings['measures'];
export const MEASURES: readonly Measure[] = [
  ...(['sqnr-after', 'sqnr-before', 'gain'] as const),
  ...(['error-after', 'error-before', 'kurtosis-after', 'kurtosis-before'] as const),
];

const ROW_PX = 20;
/** Kurtosis and error differ by decades. */
const LOG: readonly Measure[] = ['error-after', 'error-before', 'kurtosis-after', 'kurtosis-before'];
/** Of these more is worse. */
const MORE_IS_WORSE = LOG;

type HeatView = Pick<LayersState, 'depth' | 'layers' | 'sites' | 'strings'>;

/** The value of a measure at one place; null where it was not measured, or nothing is quantized. */
export function measured({ before, after }: DepthPoint, measure: Measure): number | null {
  switch (measure) {
    case 'sqnr-after':
      return after.sqnrDb;
    case 'sqnr-before':
      return before.sqnrDb;
    case 'gain':
      return after.sqnrDb === null || before.sqnrDb === null ? null : after.sqnrDb - before.sqnrDb;
    case 'error-after':
      return errorOf(after.sqnrDb);
    case 'error-before':
      return errorOf(before.sqnrDb);
    case 'kurtosis-after':
      return after.kurtosis;
    case 'kurtosis-before':
      return before.kurtosis;
  }
}

/** The power of the error in percent of that of the signal: SQNR = −10 log₁₀ of it. */
function errorOf(sqnrDb: number | null): number | null {
  return sqnrDb === null ? null : 100 * 10 ** (-sqnrDb / 10);
}

export function measureText(value: number | null, measure: Measure, strings: LayersStrings): string {
  if (value === null) return '–';
  if (measure.startsWith('kurtosis')) return formatNumber(value, 3);
  if (measure.startsWith('error')) return fill(strings.percent, formatNumber(value, 2));
  const sign = measure === 'gain' && value > 0 ? '+' : '';
  return fill(strings.decibel, `${sign}${formatDecibel(value)}`);
}

export function heatMapChart(
  view: HeatView,
  measure: Measure,
  { layer, site }: { readonly layer: number; readonly site: Site },
  theme: Theme,
): ChartModel {
  const { strings, layers } = view;
  const sites = sitesOf(view);
  const log = LOG.includes(measure);
  const cells = view.depth.flatMap((point): Row[] => {
    const value = measured(point, measure);
    if (value === null || (log && value <= 0)) return [];
    return [{ from: point.layer - 0.5, to: point.layer + 0.5, site: strings.sites[point.site], value }];
  });
  const values = cells.map(({ value }) => value as number);
  const [least, largest] = [Math.min(...values), Math.max(...values)];
  return {
    spec: heatMapSpec(strings, sites, measure, theme),
    data: { cells, selected: [{ from: layer - 0.5, to: layer + 0.5, site: strings.sites[site] }] },
    signals: {
      layerMax: layers - 0.5,
      layerWord: strings.layer.toLowerCase(),
      ...ends(least, largest, log),
    },
    summary: `${strings.heatMap}, ${strings.measures[measure]}. ${strings.heatMapAbout}`,
    readout: '',
    note: '',
  };
}

/** A scale with one value, or none, still has two ends. */
function ends(least: number, largest: number, log: boolean): { least: number; largest: number } {
  if (!Number.isFinite(least)) return { least: 1, largest: 10 };
  if (largest > least) return { least, largest };
  return log ? { least, largest: least * 10 } : { least, largest: least + 1 };
}

const sitesOf = ({ depth }: HeatView): readonly Site[] =>
  SITES.filter((site) => depth.some((point) => point.site === site));

/** Light to dark by the theme's own background and foreground, as the channels are. */
function heatMapSpec(
  strings: LayersStrings,
  sites: readonly Site[],
  measure: Measure,
  theme: Theme,
): ChartSpec {
  const colors = [theme.background, theme.foreground];
  const axis = {
    title: null,
    format: 'd',
    tickMinStep: 1,
    tickCount: 8,
    labelExpr: "datum.value == 0 ? layerWord + ' 0' : datum.label",
  };
  const y = {
    field: 'site',
    type: 'nominal',
    scale: { domain: sites.map((site) => strings.sites[site]), paddingInner: 0.08, paddingOuter: 0 },
    axis: { title: null, domain: false, ticks: false, labelLimit: 110 },
  };
  const span = { x: xAxis('from', [-0.5, { expr: 'layerMax' }], axis), x2: { field: 'to' }, y };
  return fittedSpec(
    ROW_PX * Math.max(1, sites.length),
    { layerMax: 1, layerWord: '', least: 0.1, largest: 1 },
    {
      layer: [
        {
          data: { name: 'cells' },
          mark: { type: 'rect', strokeWidth: 0 },
          encoding: {
            ...span,
            color: {
              field: 'value',
              type: 'quantitative',
              scale: {
                type: LOG.includes(measure) ? 'log' : 'linear',
                domain: [{ expr: 'least' }, { expr: 'largest' }],
                range: MORE_IS_WORSE.includes(measure) ? colors : colors.toReversed(),
                interpolate: 'lab',
                clamp: true,
                nice: false,
                ...(!LOG.includes(measure) && { zero: false }),
              },
              legend: colorLegend(strings.measures[measure], theme),
            },
          },
        },
        {
          data: { name: 'selected' },
          mark: { type: 'rect', fill: null, stroke: theme.accent, strokeWidth: 2 },
          encoding: span,
        },
      ],
    },
  );
}

/** `layer 7 · down_proj input: SQNR 9.8 dB → 17.3 dB`; by every measure that stands for both sides. */
export function placeReadout(
  { depth, strings }: HeatView,
  layer: number,
  site: Site,
  measure: Measure,
): string {
  const where = `${fill(strings.layerNumber, layer)} · ${strings.sites[site]}`;
  const point = depth.find((one) => one.layer === layer && one.site === site);
  if (!point) return `${where}: –`;
  return `${where}: ${strings.measures[measure]} ${measureText(measured(point, measure), measure, strings)}`;
}

/** The site that a row of the chart is named by. */
export function siteNamed(name: string | null, { sites }: LayersStrings): Site | null {
  return SITES.find((site) => sites[site] === name) ?? null;
}

/** A row for each layer, a column for each site. @param exact all digits of each number. */
export function heatMapTable(view: HeatView, measure: Measure, exact = false): TableModel {
  const { strings, layers, depth } = view;
  const sites = sitesOf(view);
  const found = new Map(depth.map((point) => [`${point.layer} ${point.site}`, measured(point, measure)]));
  const text = (value: number | null) => (exact ? String(value ?? '') : measureText(value, measure, strings));
  return {
    caption: `${strings.heatMap} · ${strings.measures[measure]}`,
    columns: [strings.layer, ...sites.map((site) => strings.sites[site])].map((title) => ({
      title,
      numeric: true,
    })),
    rows: Array.from({ length: layers }, (_, layer) => [
      String(layer),
      ...sites.map((site) => text(found.get(`${layer} ${site}`) ?? null)),
    ]),
  };
}
