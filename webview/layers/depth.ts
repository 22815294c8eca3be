import type { Site } from '../../src/protocol/block.ts';
import { fill } from '../../src/protocol/panels/fill.ts';
import type { DepthPoint, LayersState } from '../../src/protocol/panels/layers.ts';
import type { LayersStrings } from '../../src/protocol/panels/layers-strings.ts';
import type { ChartModel, Row, TableModel } from '../shared/chart-model.ts';
import { logTicks, stableDomain } from '../shared/domain.ts';
import { formatDecibel, formatNumber } from '../shared/format.ts';
import { layersSpec } from '../shared/layers-spec.ts';
import type { Theme } from '../shared/theme.ts';
import { SIDES, type Side } from './histogram.ts';

export type Measure = 'sqnrDb' | 'kurtosis';

/** Half the width of the band that marks the layer chosen, as a share of the axis. */
const BAND = 0.016;

/** The points of one site, by layer. */
function pointsOf({ depth }: Pick<LayersState, 'depth'>, site: Site): readonly DepthPoint[] {
  return depth.filter((point) => point.site === site).sort((a, b) => a.layer - b.layer);
}

export interface DepthView {
  /** The points of a run beside this one, which has the same axis. */
  readonly beside?: readonly DepthPoint[] | null;
  /** Lines that are not drawn. */
  readonly hidden?: readonly Side[];
}

export function depthChart(
  state: LayersState,
  measure: Measure,
  site: Site,
  layer: number,
  theme: Theme,
  { beside = null, hidden = [] }: DepthView = {},
): ChartModel {
  const { strings, layers } = state;
  const points = pointsOf(state, site);
  const shown = SIDES.filter((side) => !hidden.includes(side));
  const rows = points.flatMap((point) =>
    shown.map((side): Row => ({ layer: point.layer, side, value: point[side][measure] })),
  );
  const log = measure === 'kurtosis';
  const besides = (beside ?? []).filter((point) => point.site === site);
  const values = [
    ...rows.map(({ value }) => value as number | null),
    ...besides.flatMap((point) => shown.map((side) => point[side][measure])),
  ];
  const domain = stableDomain(values, null, log ? 'log' : 'linear');
  // Among few layers, half the way to the next one would be a wide band.
  const half = Math.min(0.5, BAND * layers);
  const measured = values.some((value) => value !== null);
  return {
    spec: layersSpec(theme, SIDES, { log, labels: log ? '~g' : '~r', minExtent: 36 }),
    data: { points: rows, selected: [{ layer, from: layer - half, to: layer + half }] },
    signals: {
      layerMax: layers - 0.5,
      layerWord: strings.layer.toLowerCase(),
      yMin: domain[0],
      yMax: domain[1],
      ...(log && { yTicks: logTicks(domain) }),
    },
    summary: depthSummary(state, measure, site, layer),
    readout: '',
    note: measured ? '' : strings.notQuantized,
  };
}

/** The value of one side of one layer, with its unit. */
export function depthValue(
  point: DepthPoint | undefined,
  side: Side,
  measure: Measure,
  strings: LayersStrings,
) {
  const value = point?.[side][measure] ?? null;
  if (measure === 'kurtosis') return formatNumber(value, 3);
  return value === null ? '–' : fill(strings.decibel, formatDecibel(value));
}

/** Both sides at a layer, for the legend. */
export function depthValues(
  state: LayersState,
  measure: Measure,
  site: Site,
  layer: number,
): readonly string[] {
  const point = pointsOf(state, site).find((one) => one.layer === layer);
  return SIDES.map((side) => depthValue(point, side, measure, state.strings));
}

export function depthSummary(state: LayersState, measure: Measure, site: Site, layer: number): string {
  const { strings } = state;
  const [before, after] = depthValues(state, measure, site, layer);
  const title = measure === 'sqnrDb' ? strings.sqnrDepth : strings.kurtosisDepth;
  return `${fill(strings.depthSummary, title, layer, before!, after!)} ${strings.depthHelp}`;
}

/** @param exact all digits of each number. */
export function depthTable(state: LayersState, measure: Measure, site: Site, exact = false): TableModel {
  const { strings } = state;
  return {
    caption: `${measure === 'sqnrDb' ? strings.sqnrDepth : strings.kurtosisDepth} · ${strings.sites[site]}`,
    columns: [
      { title: strings.layer, numeric: true },
      { title: strings.before, numeric: true },
      { title: strings.after, numeric: true },
    ],
    rows: pointsOf(state, site).map((point) => [
      String(point.layer),
      ...SIDES.map((side) =>
        exact ? String(point[side][measure] ?? '') : depthValue(point, side, measure, strings),
      ),
    ]),
  };
}
