/** A heat map: layers along the x axis, a row for each site or part. */
import type { ChartModel, ChartSpec, Row } from '../shared/chart-model.ts';
import { layerAxis } from '../shared/layers-spec.ts';
import { fittedSpec } from '../shared/spec-parts.ts';
import type { Theme } from '../shared/theme.ts';
import { colorLegend } from './color-legend.ts';

const ROW_PX = 20;
const LABEL_PX = 110;

export interface HeatCell {
  readonly layer: number;
  readonly row: string;
  readonly value: number;
}

export interface HeatGrid {
  /** From above. */
  readonly rows: readonly string[];
  readonly layers: number;
  /** `layer`, before the first number of the axis. */
  readonly layerWord: string;
  readonly cells: readonly HeatCell[];
  /** Framed. */
  readonly selected: { readonly layer: number; readonly row: string } | null;
  /** The quantity of the scale. */
  readonly title: string;
  readonly log: boolean;
  /** False where the least is drawn strongest. */
  readonly moreIsWorse: boolean;
  /** Ends of the scale in place of the least and largest value. */
  readonly ends?: readonly [number, number];
  /** Room for the names of rows, in pixels. */
  readonly labelPx?: number;
  readonly summary: string;
}

const spanOf = (layer: number, row: string) => ({ from: layer - 0.5, to: layer + 0.5, row });

export function heatChart(grid: HeatGrid, theme: Theme): ChartModel {
  const { cells, selected, layers, layerWord, log, summary } = grid;
  const drawn = cells.filter(({ value }) => !log || value > 0);
  const values = drawn.map(({ value }) => value);
  const [least, largest] = grid.ends ?? [Math.min(...values), Math.max(...values)];
  return {
    spec: heatSpec(grid, theme),
    data: {
      cells: drawn.map(({ layer, row, value }): Row => ({ ...spanOf(layer, row), value })),
      selected: selected ? [spanOf(selected.layer, selected.row)] : [],
    },
    signals: { layerMax: layers - 0.5, layerWord, ...ends(least, largest, log) },
    summary,
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

/** Light to dark by the theme's own background and foreground, as the channels are. */
function heatSpec({ rows, title, log, moreIsWorse, labelPx = LABEL_PX }: HeatGrid, theme: Theme): ChartSpec {
  const colors = [theme.background, theme.foreground];
  const y = {
    field: 'row',
    type: 'nominal',
    scale: { domain: rows, paddingInner: 0.08, paddingOuter: 0 },
    axis: { title: null, domain: false, ticks: false, labelLimit: labelPx },
  };
  const span = { x: layerAxis('from'), x2: { field: 'to' }, y };
  return fittedSpec(
    ROW_PX * Math.max(1, rows.length),
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
                type: log ? 'log' : 'linear',
                domain: [{ expr: 'least' }, { expr: 'largest' }],
                range: moreIsWorse ? colors : colors.toReversed(),
                interpolate: 'lab',
                clamp: true,
                nice: false,
                ...(!log && { zero: false }),
              },
              legend: colorLegend(title, theme),
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
