/** Quality against what it costs: seconds of a run, or mean bits. The line joins what nothing beats in both. */
import { fill } from '../../../src/protocol/panels/fill.ts';
import type { MatrixColumn, MatrixRow } from '../../../src/protocol/panels/matrix.ts';
import type { ChartSpec } from '../../shared/chart-model.ts';
import { logTicks, stableDomain } from '../../shared/domain.ts';
import { formatNumber, formatSeconds } from '../../shared/format.ts';
import { fittedSpec } from '../../shared/spec-parts.ts';
import type { Theme } from '../../shared/theme.ts';
import { measureAxis, seriesChannels } from './spec.ts';
import {
  columnIndex,
  columnOf,
  formatValue,
  isWide,
  meanOf,
  measuredWords,
  methodsOf,
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
      const price = cost === 'seconds' ? meanSeconds(row) : meanBits(row.bits);
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

/** The mean of the numbers of `4-8-16`. */
export function meanBits(setting: string): number | null {
  const bits = setting.split('-').map(Number);
  const mean = bits.reduce((sum, one) => sum + one, 0) / bits.length;
  return Number.isFinite(mean) ? mean : null;
}

interface Axes {
  readonly logX: boolean;
  readonly logY: boolean;
  readonly titleX: string;
}

/** Data sets: `points` {series, cost, value, bits}, `front` {cost, value} by cost. */
function paretoSpec(series: readonly Series[], axes: Axes, theme: Theme, standalone: boolean): ChartSpec {
  const x = measureAxis('x', 'cost', axes.logX, { title: axes.titleX });
  const y = measureAxis('y', 'value', axes.logY, { minExtent: 40 });
  const { color, shape } = seriesChannels(series, theme.background, standalone);
  return fittedSpec(
    HEIGHT,
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
      ],
    },
  );
}

export function paretoPicture(cost: Cost): PictureKind {
  return {
    draw(view, theme, standalone) {
      const { strings, table } = view;
      const points = paretoPoints(view, cost);
      const metric = columnOf(view)?.metric;
      const values = points.map(({ value }) => value);
      const costs = points.map((point) => point.cost);
      const logX = cost === 'seconds' && isWide(costs, 'perplexity');
      const logY = isWide(values, metric);
      const [xMin, xMax] = stableDomain(costs, null, logX ? 'log' : 'linear');
      const [yMin, yMax] = stableDomain(values, null, logY ? 'log' : 'linear');
      const series = seriesOf(
        points.map(({ name }) => name),
        table,
        theme,
      );
      const front = points.filter(({ onFront }) => onFront).sort((a, b) => a.cost - b.cost);
      const titleX = cost === 'seconds' ? strings.axes.seconds : strings.axes.meanBits;
      return {
        model: {
          spec: paretoSpec(series, { logX, logY, titleX }, theme, standalone),
          data: {
            points: points.map(({ name, bits, cost: price, value }) => ({
              ...{ series: name, bits, cost: price, value },
            })),
            front: front.map(({ cost: price, value }) => ({ cost: price, value })),
          },
          signals: {
            ...{ xMin, xMax, yMin, yMax },
            ...(logX && { xTicks: logTicks([xMin, xMax]) }),
            ...(logY && { yTicks: logTicks([yMin, yMax]) }),
          },
          summary: summaryOf(
            view,
            strings.titles[cost],
            points.map((point) => pointWords(point, cost, metric, view)),
          ),
          readout: '',
          note: '',
        },
        legend: series,
        about: fill(strings.about[cost], ...measuredWords(view), table.bits),
        empty: points.length === 0 ? strings.empty[cost] : '',
      };
    },
    table(view) {
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
    },
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
