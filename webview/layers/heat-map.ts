/** All layers and sites at one glance, by one measure. */
import { SITES, type Site } from '../../src/protocol/block.ts';
import { fill } from '../../src/protocol/panels/fill.ts';
import type { DepthPoint, LayersState } from '../../src/protocol/panels/layers.ts';
import type { LayersStrings } from '../../src/protocol/panels/layers-strings.ts';
import type { ChartModel, TableModel } from '../shared/chart-model.ts';
import { formatDecibel, formatNumber } from '../shared/format.ts';
import type { Theme } from '../shared/theme.ts';
import { type HeatCell, heatChart } from './heat-grid.ts';

export type Measure = keyof LayersStrings['measures'];
export const MEASURES: readonly Measure[] = [
  ...(['sqnr-after', 'sqnr-before', 'gain'] as const),
  ...(['error-after', 'error-before', 'kurtosis-after', 'kurtosis-before'] as const),
];

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
  const log = LOG.includes(measure);
  const cells = view.depth.flatMap((point): HeatCell[] => {
    const value = measured(point, measure);
    return value === null ? [] : [{ layer: point.layer, row: strings.sites[point.site], value }];
  });
  return heatChart(
    {
      rows: sitesOf(view).map((one) => strings.sites[one]),
      layers,
      layerWord: strings.layer.toLowerCase(),
      cells,
      selected: { layer, row: strings.sites[site] },
      title: strings.measures[measure],
      log,
      moreIsWorse: MORE_IS_WORSE.includes(measure),
      summary: `${strings.heatMap}, ${strings.measures[measure]}. ${strings.heatMapAbout}`,
    },
    theme,
  );
}

const sitesOf = ({ depth }: HeatView): readonly Site[] =>
  SITES.filter((site) => depth.some((point) => point.site === site));

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
