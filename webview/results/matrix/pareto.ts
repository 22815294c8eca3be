/** Quality against what it costs: seconds of a run, or mean bits. The line joins what nothing beats in both. */
import { fill } from '../../../src/protocol/panels/fill.ts';
import type { MatrixColumn, MatrixRow } from '../../../src/protocol/panels/matrix.ts';
import type { ChartSpec, TableModel } from '../../shared/chart-model.ts';
import { formatNumber, formatSeconds } from '../../shared/format.ts';
import { fittedSpec } from '../../shared/spec-parts.ts';
import type { Theme } from '../../shared/theme.ts';
import {
  axisSignals,
  isWide,
  type Placement,
  placeValues,
  type Scale,
  type Standing,
  scaleOf,
} from './scale.ts';
import { aboutWithArrows, farLabel, farLabels, measureAxis, seriesChannels } from './spec.ts';
import {
  columnIndex,
  columnOf,
  formatValue,
  meanOf,
  measuredWords,
  methodsOf,
  type Picture,
  type PictureKind,
  type PictureView,
  type Series,
  seriesOf,
  summaryOf,
} from './view.ts';

const HEIGHT = 220;

export type Cost = 'seconds' | 'mean-bits';

export interface ParetoPoint {
  readonly name: string;
  readonly bits: string;
  readonly cost: number;
  readonly value: number;
  readonly onFront: boolean;
}

/** Seconds compare methods at one setting of bits; mean bits compare everything. */
export function paretoPoints(view: PictureView, cost: Cost): ParetoPoint[] {
  const { table } = view;
  const names = methodsOf(table);
  const column = columnIndex(view);
  const found = table.rows
    .filter(({ isFull, bits }) => !isFull && (cost === 'mean-bits' || bits === table.bits))
    .flatMap((row) => {
      const value = meanOf(row, column);
      const price = cost === 'seconds' ? meanSeconds(row) : bitsOfRow(row);
      if (value === null || price === null) return [];
      return [{ name: names.get(row.method) ?? row.title, bits: row.bits, cost: price, value }];
    });
  const sign = columnOf(view)?.metric === 'accuracy' ? -1 : 1;
  return found.map((point) => ({ ...point, onFront: !found.some((other) => beats(other, point, sign)) }));
}

type Priced = Pick<ParetoPoint, 'cost' | 'value'>;

/** Better in one and not worse in the other. @param sign 1 where lower values are better. */
function beats(other: Priced, point: Priced, sign: 1 | -1): boolean {
  const better = sign * (point.value - other.value);
  const cheaper = point.cost - other.cost;
  return better >= 0 && cheaper >= 0 && better + cheaper > 0;
}

/** Over the seeds that are finished; null where none tells. */
export function meanSeconds({ cells }: MatrixRow): number | null {
  const known = cells.map(({ seconds }) => seconds).filter((seconds) => seconds !== null);
  return known.length === 0 ? null : known.reduce((sum, seconds) => sum + seconds, 0) / known.length;
}

/** The mean of the numbers of `4-8-16`, with what exceptions add on average. */
function bitsOfRow(row: MatrixRow): number | null {
  const bits = meanBits(row.bits);
  return bits === null ? null : bits + (addedBits(row) ?? 0);
}

/** Average bits that exceptions add, the mean over seeds; null where no seed has any. */
export function addedBits({ cells }: MatrixRow): number | null {
  const known = cells.flatMap(({ averageBits }) => averageBits ?? []);
  if (known.length === 0) return null;
  return known.reduce((sum, { mixed, uniform }) => sum + mixed - uniform, 0) / known.length;
}

/** The mean of the numbers of `4-8-16`. */
export function meanBits(setting: string): number | null {
  const bits = setting.split('-').map(Number);
  const mean = bits.reduce((sum, one) => sum + one, 0) / bits.length;
  return Number.isFinite(mean) ? mean : null;
}

type Points = Placement<ParetoPoint & Standing>;

/** The costs, and the values above them. A line between far points never rises, since each has a row of its own. */
function placedOf(view: PictureView, cost: Cost): { readonly costs: Scale; readonly points: Points } {
  const found = paretoPoints(view, cost);
  const prices = found.map((point) => point.cost);
  const costs = scaleOf(prices, cost === 'seconds' && isWide(prices));
  const points = found.map((point) => ({ ...point, share: shareOf(point.cost, costs), ends: [] }));
  const metric = columnOf(view)?.metric;
  const options = { metric, besides: [], height: HEIGHT, apart: Number.POSITIVE_INFINITY, labelled: null };
  return { costs, points: placeValues(points, options) };
}

function shareOf(cost: number, { log, domain: [from, to] }: Scale): number {
  return log ? Math.log(cost / from) / Math.log(to / from) : (cost - from) / (to - from);
}

interface Axes {
  readonly logX: boolean;
  readonly logY: boolean;
  readonly titleX: string;
  readonly height: number;
}

/** Data sets: `points` {series, cost, value, bits}, `front` {cost, value} by cost, `far` {cost, value, label, atLeft}. */
function paretoSpec(series: readonly Series[], axes: Axes, theme: Theme, standalone: boolean): ChartSpec {
  const x = measureAxis('x', 'cost', axes.logX, { title: axes.titleX });
  const y = measureAxis('y', 'value', axes.logY, { minExtent: 40 });
  const { color, shape } = seriesChannels(series, theme.background, standalone);
  return fittedSpec(
    axes.height,
    { xMin: 0.1, xMax: 1, xTicks: [0.1, 1], yMin: 0.1, yMax: 1, yTicks: [0.1, 1] },
    {
      layer: [
        {
          data: { name: 'front' },
          mark: { type: 'line', interpolate: 'step-after', color: theme.muted, strokeWidth: 1.5 },
          encoding: { x, y },
        },
        {
          data: { name: 'points' },
          mark: { type: 'point', filled: true, opacity: 1, size: 65 },
          encoding: { x, y, color, shape },
        },
        ...farLabels(x, y, theme),
      ],
    },
  );
}

function dataOf({ placed }: Points, metric: MatrixColumn['metric'] | undefined) {
  const far = placed.filter(({ isBeyond }) => isBeyond);
  const front = placed.filter(({ onFront }) => onFront).sort((a, b) => a.cost - b.cost);
  return {
    points: placed.map(({ name, bits, cost, at }) => ({ series: name, bits, cost, value: at })),
    front: front.map(({ cost, at }) => ({ cost, value: at })),
    far: far.map(({ cost, at, share, value }) => ({
      ...{ cost, value: at },
      ...farLabel(formatValue(value, metric), share),
    })),
  };
}

export function paretoPicture(cost: Cost): PictureKind {
  return {
    draw: (view, theme, standalone) => drawn(view, cost, theme, standalone),
    table: (view) => tableOf(view, cost),
  };
}

function drawn(view: PictureView, cost: Cost, theme: Theme, standalone: boolean): Picture {
  const { strings, table } = view;
  const { costs, points } = placedOf(view, cost);
  const { placed, scale, band } = points;
  const metric = columnOf(view)?.metric;
  const series = seriesOf(
    placed.map(({ name }) => name),
    table,
    theme,
  );
  const axes = {
    logX: costs.log,
    logY: scale.log,
    titleX: cost === 'seconds' ? strings.axes.seconds : strings.axes.meanBits,
    height: HEIGHT + band,
  };
  return {
    model: {
      spec: paretoSpec(series, axes, theme, standalone),
      data: dataOf(points, metric),
      signals: { ...axisSignals('x', costs), ...axisSignals('y', scale) },
      summary: summaryOf(
        view,
        strings.titles[cost],
        placed.map((point) => pointWords(point, cost, metric, view)),
      ),
      readout: '',
      note: '',
    },
    legend: series,
    about: aboutWithArrows(fill(strings.about[cost], ...measuredWords(view), table.bits), band, strings),
    empty: placed.length === 0 ? strings.empty[cost] : '',
  };
}

function tableOf(view: PictureView, cost: Cost): TableModel {
  const { strings } = view;
  const metric = columnOf(view)?.metric;
  const { columns, axes } = strings;
  return {
    caption: `${strings.titles[cost]} · ${measuredWords(view).join(' · ')}`,
    columns: [
      { title: columns.row, numeric: false },
      { title: columns.bits, numeric: false },
      { title: cost === 'seconds' ? axes.seconds : axes.meanBits, numeric: true },
      { title: measuredWords(view)[0], numeric: true },
      { title: strings.front, numeric: false },
    ],
    rows: paretoPoints(view, cost).map((point) => [
      point.name,
      point.bits,
      formatNumber(point.cost, 3),
      formatValue(point.value, metric),
      point.onFront ? '✓' : '',
    ]),
  };
}

function pointWords(
  point: ParetoPoint,
  cost: Cost,
  metric: MatrixColumn['metric'] | undefined,
  { strings }: PictureView,
): string {
  const price = cost === 'seconds' ? formatSeconds(point.cost) : formatNumber(point.cost, 3);
  const words = fill(
    strings.summaryPoint,
    `${point.name} ${point.bits}`,
    formatValue(point.value, metric),
    price,
  );
  return point.onFront ? `${words} (${strings.front})` : words;
}
