import type { ChartSpec } from './chart-model.ts';
import { category, fittedSpec, valueAxis, xAxis } from './spec-parts.ts';
import { beforeColor, type Theme } from './theme.ts';

const HEIGHT = 150;
/** Dashes of both lines; legends draw the same. */
export const MUTED_DASHES = [5, 3] as const;
export const SOLID = [1, 0] as const;

export interface LayersAxis {
  readonly log: boolean;
  /** The format of its labels (d3-format). */
  readonly labels: string;
  readonly minExtent: number;
}

/** The axis of layers, with the parameters `layerMax` and `layerWord`. */
export function layerAxis(field: string) {
  return xAxis(field, [-0.5, { expr: 'layerMax' }], {
    title: null,
    format: 'd',
    tickMinStep: 1,
    tickCount: 8,
    labelExpr: "datum.value == 0 ? layerWord + ' 0' : datum.label",
  });
}

/**
 * Two lines over the layers of a model, one for each of `sides`. The first, for comparison, is muted, dashed, with hollow
 * circles; the second, which counts, is in accent, solid, with filled squares.
 * Data sets: `points` {layer, side, value}, `cursor` {layer}, and `selected` {layer, from, to}, a band. Parameters:
 * `layerMax`, `layerWord`, `yMin`, `yMax`, and `yTicks` of a log axis.
 */
export function layersSpec(
  theme: Theme,
  sides: readonly [string, string],
  { log, labels, minExtent }: LayersAxis,
): ChartSpec {
  const bySide = (range: readonly (string | readonly number[])[]) => category('side', sides, range);
  const y = valueAxis(log, labels, minExtent);
  const color = bySide([beforeColor(theme), theme.accent]);
  const points = {
    x: layerAxis('layer'),
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
        { data: { name: 'selected' }, mark: band, encoding: { x: layerAxis('from'), x2: { field: 'to' } } },
        {
          data: { name: 'cursor' },
          mark: { type: 'rule', color: theme.muted },
          encoding: { x: layerAxis('layer') },
        },
        {
          data: { name: 'points' },
          mark: { type: 'line', invalid: 'break-paths-show-path-domains' },
          encoding: { x: layerAxis('layer'), y, color, strokeDash: bySide([MUTED_DASHES, SOLID]) },
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
