/** Kurtosis and quantization error over depth (the paper's figure 3), for activations and weights. */
import { fill } from '../../../src/protocol/panels/fill.ts';
import type { DepthColumns, DepthRow } from '../../../src/protocol/panels/matrix.ts';
import type { ChartSpec, Row, TableModel } from '../../shared/chart-model.ts';
import { formatNumber } from '../../shared/format.ts';
import { fittedSpec, xAxis } from '../../shared/spec-parts.ts';
import type { Theme } from '../../shared/theme.ts';
import { axisSignals, scaleOf } from './scale.ts';
import { measureAxis, seriesChannels } from './spec.ts';
import {
  fillingOf,
  methodsOf,
  type Picture,
  type PictureKind,
  type PictureView,
  type Series,
  sentences,
  seriesOf,
  summaryOf,
} from './view.ts';

const HEIGHT = 190;
/** Of what stands for comparison. */
const DASHES = [5, 3] as const;

export type DepthMeasure = 'kurtosis' | 'error' | 'weight-kurtosis' | 'weight-error' | 'output-error';

const COLUMNS: Readonly<
  Record<DepthMeasure, (row: DepthRow, view: PictureView) => DepthColumns | undefined>
> = {
  kurtosis: (row, { site }) => row.kurtosis[site],
  error: (row, { site }) => row.error[site],
  'weight-kurtosis': (row, { linear }) => row.weightKurtosis[linear],
  'weight-error': (row, { linear }) => row.weightError[linear],
  'output-error': (row, { linear }) => row.outputError[linear],
};

/** A line over the layers. */
interface Line {
  readonly series: Series;
  readonly layer: readonly number[];
  readonly values: readonly (number | null)[];
}

/** The rows that measured something, with their names in charts. */
function measured(view: PictureView, measure: DepthMeasure): (readonly [string, DepthColumns])[] {
  const { table } = view;
  const names = methodsOf(table);
  return table.depth.flatMap((row: DepthRow) => {
    const columns = COLUMNS[measure](row, view);
    return columns ? [[names.get(row.method) ?? row.title, columns] as const] : [];
  });
}

/**
 * What is before rotation is the same for every row: one line, muted and dashed. Weights on other grids have other
 * errors, as outputs have under other rotations: then each row has its own line, dashed in its colour.
 */
export function linesOf(view: PictureView, measure: DepthMeasure, theme: Theme): Line[] {
  const { strings, table } = view;
  const rows = measured(view, measure);
  const names = rows.map(([name]) => name);
  const own = seriesOf(names, table, theme).flatMap((series): [Line, DepthColumns][] => {
    const columns = rows.find(([name]) => name === series.name)?.[1];
    return columns ? [[{ series, layer: columns.layer, values: columns.after }, columns]] : [];
  });
  const muted = { name: strings.before, color: theme.muted, shape: 'circle', dash: DASHES, filled: false };
  const label = ownBefore(measure, rows, strings);
  if (label !== null) {
    return own.flatMap(([line, { layer, before }]) => {
      const name = fill(label, line.series.name);
      return [{ series: { ...line.series, name, dash: DASHES, filled: false }, layer, values: before }, line];
    });
  }
  const [first] = rows;
  const lines = own.map(([line]) => line);
  return first ? [{ series: muted, layer: first[1].layer, values: first[1].before }, ...lines] : [];
}

/** The name of a row's own line of before; null where all have one in common. */
function ownBefore(
  measure: DepthMeasure,
  rows: readonly (readonly [string, DepthColumns])[],
  { nearest, beforeOf }: PictureView['strings'],
): string | null {
  if (measure === 'output-error') return nearest;
  const befores = new Set(rows.map(([, { before }]) => JSON.stringify(before)));
  return measure === 'weight-error' && befores.size > 1 ? beforeOf : null;
}

/** Rows whose statistics are older than those of weights. */
function olderRows({ table }: PictureView, measure: DepthMeasure): string[] {
  if (measure !== 'weight-kurtosis' && measure !== 'weight-error') return [];
  return table.depth.filter(({ lacksWeights }) => lacksWeights).map(({ title }) => title);
}

/** Data set: `points` {series, layer, value}. */
function depthSpec(series: readonly Series[], theme: Theme, word: string, standalone: boolean): ChartSpec {
  const x = xAxis('layer', [-0.5, { expr: 'layerMax' }], {
    title: word,
    format: 'd',
    tickMinStep: 1,
    tickCount: 8,
  });
  const y = measureAxis('y', 'value', true, { minExtent: 40 });
  const { color, fill: inside, shape, strokeDash } = seriesChannels(series, theme.background, standalone);
  return fittedSpec(
    HEIGHT,
    { layerMax: 1, yMin: 0.1, yMax: 1, yTicks: [0.1, 1] },
    {
      layer: [
        {
          data: { name: 'points' },
          mark: { type: 'line', invalid: 'break-paths-show-path-domains' },
          encoding: { x, y, color, strokeDash },
        },
        {
          data: { name: 'points' },
          transform: [{ filter: 'isValid(datum.value)' }],
          mark: { type: 'point', opacity: 1, size: 30, strokeWidth: 1.5 },
          encoding: { x, y, color, shape, fill: inside },
        },
      ],
    },
  );
}

function emptyText(view: PictureView, measure: DepthMeasure): string {
  const { strings, table } = view;
  const isOn = measure === 'output-error' || table.statistics;
  const rows = table.rows.filter(({ bits }) => bits === table.bits);
  const help = isOn ? fillingOf(rows, view) : strings.setStatistics;
  return sentences(fill(strings.empty[measure], table.bits), help);
}

export function depthPicture(measure: DepthMeasure): PictureKind {
  return {
    draw: (view, theme, standalone) => drawn(view, measure, theme, standalone),
    table: (view) => tableOf(view, measure),
  };
}

function drawn(view: PictureView, measure: DepthMeasure, theme: Theme, standalone: boolean): Picture {
  const { strings, table } = view;
  const lines = linesOf(view, measure, theme);
  const older = olderRows(view, measure);
  const note = older.length === 0 ? '' : fill(strings.olderStatistics, older.join(', '));
  const nothing = note === '' ? emptyText(view, measure) : note;
  const points = pointsOf(lines);
  const known = points.map(({ value }) => value as number | null);
  const last = Math.max(1, ...lines.flatMap(({ layer }) => layer));
  const series = lines.map((line) => line.series);
  return {
    model: {
      spec: depthSpec(series, theme, strings.layer, standalone),
      data: { points },
      signals: { layerMax: last + 0.5, ...axisSignals('y', scaleOf(known, true)) },
      summary: summaryOf(
        view,
        strings.titles[measure],
        lines.map((line) => lineWords(line, view)),
      ),
      readout: '',
      note,
    },
    legend: series,
    about: fill(strings.about[measure], placeOf(view, measure), table.bits),
    empty: lines.length === 0 ? nothing : '',
  };
}

/** Where nothing rotates, a row lies on the line of before: that is drawn last, its dashes over the other. */
function pointsOf(lines: readonly Line[]): Row[] {
  return [...lines].reverse().flatMap(({ series, layer, values }) =>
    layer.map(
      (number, index): Row => ({
        series: series.name,
        layer: number,
        value: drawable(values[index] ?? null),
      }),
    ),
  );
}

function tableOf(view: PictureView, measure: DepthMeasure): TableModel {
  const { strings, table } = view;
  const lines = linesOf(view, measure, NO_THEME);
  const layers = [...new Set(lines.flatMap(({ layer }) => layer))].sort((a, b) => a - b);
  return {
    caption: `${strings.titles[measure]} · ${placeOf(view, measure)} · ${table.bits}`,
    columns: [strings.layer, ...lines.map(({ series }) => series.name)].map((title) => ({
      title,
      numeric: true,
    })),
    rows: layers.map((number) => [
      String(number),
      ...lines.map(({ layer, values }) => formatNumber(values[layer.indexOf(number)] ?? null, 3)),
    ]),
  };
}

/** A table has no colours. */
const NO_THEME: Theme = {
  ...{ foreground: '', muted: '', background: '', accent: '', grid: '', danger: '', font: '' },
  ...{ fontSizePx: 13, runs: [''], highContrast: false },
};

/** A log axis has no place for zero. */
function drawable(value: number | null): number | null {
  return value !== null && value > 0 ? value : null;
}

function placeOf({ strings, site, linear }: PictureView, measure: DepthMeasure): string {
  if (measure === 'kurtosis' || measure === 'error') return strings.sites[site];
  return linear === 'mean' ? strings.allLinears : linear;
}

function lineWords({ series, layer, values }: Line, { strings }: PictureView): string {
  return fill(
    strings.summaryDepth,
    series.name,
    formatNumber(values[0] ?? null, 3),
    layer[0] ?? '–',
    formatNumber(values.at(-1) ?? null, 3),
    layer.at(-1) ?? '–',
  );
}
