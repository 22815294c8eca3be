import { fill } from '../../src/protocol/panels/fill.ts';
import type { DepthPoint, LayersState, Site } from '../../src/protocol/panels/layers.ts';
import type { LayersStrings } from '../../src/protocol/panels/layers-strings.ts';
import type { ChartModel, ChartSpec, Row, TableModel } from '../shared/chart-model.ts';
import { logTicks, stableDomain } from '../shared/domain.ts';
import { formatDecibel, formatNumber } from '../shared/format.ts';
import { category, fittedSpec, valueAxis, xAxis } from '../shared/spec-parts.ts';
import type { Theme } from '../shared/theme.ts';
import { SIDES, type Side } from './histogram.ts';

export type Measure = 'sqnrDb' | 'kurtosis';

const HEIGHT = 150;
/** Half the width of the band that marks the layer chosen, as a share of the axis. */
const BAND = 0.016;

/** The points of one site, by layer. */
function pointsOf({ depth }: LayersState, site: Site): readonly DepthPoint[] {
  return depth.filter((point) => point.site === site).sort((a, b) => a.layer - b.layer);
}

export function depthChart(
  state: LayersState,
  measure: Measure,
  site: Site,
  layer: number,
  theme: Theme,
): ChartModel {
  const { strings, layers } = state;
  const points = pointsOf(state, site);
  const rows = points.flatMap((point) =>
    SIDES.map((side): Row => ({ layer: point.layer, side, value: point[side][measure] })),
  );
  const log = measure === 'kurtosis';
  const values = rows.map(({ value }) => value as number | null);
  const domain = stableDomain(values, null, log ? 'log' : 'linear');
  // Of few layers, half the way to the next one would be a wide band.
  const half = Math.min(0.5, BAND * layers);
  const measured = values.some((value) => value !== null);
  return {
    spec: depthSpec(theme, log),
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

/** Before: muted, dashed, hollow circles. After: accent, solid, filled squares. */
function depthSpec(theme: Theme, log: boolean): ChartSpec {
  const x = (field: string) =>
    xAxis(field, [-0.5, { expr: 'layerMax' }], {
      title: null,
      format: 'd',
      tickMinStep: 1,
      tickCount: 8,
      labelExpr: "datum.value == 0 ? layerWord + ' 0' : datum.label",
    });
  const bySide = (range: readonly (string | readonly number[])[]) => category('side', SIDES, range);
  const y = valueAxis(log, log ? '~g' : '~r', 36);
  const color = bySide([theme.muted, theme.accent]);
  const strokeDash = bySide([
    [5, 3],
    [1, 0],
  ]);
  const points = {
    x: x('layer'),
    y,
    color,
    shape: bySide(['circle', 'square']),
    fill: bySide([theme.background, theme.accent]),
  };
  const band = {
    type: 'rect',
    fill: theme.accent,
    fillOpacity: 0.2,
    stroke: theme.accent,
    strokeOpacity: 0.7,
  };
  return fittedSpec(
    HEIGHT,
    { layerMax: 1, layerWord: '', yMin: 0.1, yMax: 1, yTicks: [0.1, 1] },
    {
      layer: [
        { data: { name: 'selected' }, mark: band, encoding: { x: x('from'), x2: { field: 'to' } } },
        { data: { name: 'cursor' }, mark: { type: 'rule', color: theme.muted }, encoding: { x: x('layer') } },
        {
          data: { name: 'points' },
          mark: { type: 'line', invalid: 'break-paths-show-path-domains' },
          encoding: { x: x('layer'), y, color, strokeDash },
        },
        {
          data: { name: 'points' },
          transform: [{ filter: 'isValid(datum.value)' }],
          mark: { type: 'point', opacity: 1, size: 26, strokeWidth: 1.5, fill: theme.background },
          encoding: points,
        },
      ],
    },
  );
}

export function depthTable(state: LayersState, measure: Measure, site: Site): TableModel {
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
      ...SIDES.map((side) => depthValue(point, side, measure, strings)),
    ]),
  };
}
