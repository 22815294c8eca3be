/** Perplexity or accuracy against the setting of bits, a line for each row of the table. */
import { fill } from '../../../src/protocol/panels/fill.ts';
import type { ChartSpec, Row } from '../../shared/chart-model.ts';
import { logTicks, stableDomain } from '../../shared/domain.ts';
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

interface Point {
  readonly name: string;
  readonly bits: string;
  readonly mean: number;
  readonly deviation: number;
}

function pointsOf(view: PictureView): Point[] {
  const names = methodsOf(view.table);
  const column = columnIndex(view);
  return view.table.rows
    .filter(({ isFull }) => !isFull)
    .flatMap((row) => {
      const mean = meanOf(row, column);
      const { bits, method, title, values } = row;
      const deviation = values[column]?.deviation ?? 0;
      return mean === null ? [] : [{ name: names.get(method) ?? title, bits, mean, deviation }];
    });
}

function fullPrecision(view: PictureView): number | null {
  const row = view.table.rows.find(({ isFull }) => isFull);
  return row ? meanOf(row, columnIndex(view)) : null;
}

/** Data sets: `points` {series, bits, value, least, largest}, `full` {value, label}. */
function bitsSpec(
  settings: readonly string[],
  series: readonly Series[],
  { log, isPerplexity }: { readonly log: boolean; readonly isPerplexity: boolean },
  theme: Theme,
  standalone: boolean,
): ChartSpec {
  const axis = { title: null, labelAngle: 0, grid: false };
  const x = {
    field: 'bits',
    type: 'ordinal',
    scale: { domain: settings, type: 'point', padding: 0.4 },
    axis,
  };
  const y = (field: string) => measureAxis('y', field, log, { minExtent: 40 });
  const { color, shape } = seriesChannels(series, theme.background, standalone);
  const label = {
    type: 'text',
    align: 'right',
    // The side of the line where quantized models are not: below the least perplexity, above the best accuracy.
    baseline: isPerplexity ? 'top' : 'bottom',
    dy: isPerplexity ? 4 : -2,
    fill: theme.muted,
  };
  return fittedSpec(
    HEIGHT,
    { yMin: 0.1, yMax: 1, yTicks: [0.1, 1] },
    {
      layer: [
        {
          data: { name: 'full' },
          mark: { type: 'rule', strokeDash: [5, 3], color: theme.muted },
          encoding: { y: y('value') },
        },
        { data: { name: 'points' }, mark: 'line', encoding: { x, y: y('value'), color } },
        {
          data: { name: 'points' },
          mark: { type: 'rule', strokeWidth: 1.5 },
          encoding: { x, y: y('least'), y2: { field: 'largest' }, color },
        },
        {
          data: { name: 'points' },
          mark: { type: 'point', filled: true, opacity: 1, size: 55 },
          encoding: { x, y: y('value'), color, shape },
        },
        {
          data: { name: 'full' },
          mark: label,
          encoding: { x: { value: 'width' }, y: y('value'), text: { field: 'label' } },
        },
      ],
    },
  );
}

export const bitsPicture: PictureKind = {
  draw(view, theme, standalone) {
    const { strings, table } = view;
    const metric = columnOf(view)?.metric;
    const points = pointsOf(view);
    const full = fullPrecision(view);
    const words = `${strings.fullPrecision} ${formatValue(full, metric)}`;
    const means = [...points.map(({ mean }) => mean), ...(full === null ? [] : [full])];
    const log = isWide(means, metric);
    const rows = points.map(({ name, bits, mean, deviation }): Row => {
      // Below zero a log axis has no place: there the line ends at the mean.
      const least = log && mean - deviation <= 0 ? mean : mean - deviation;
      return { series: name, bits, value: mean, least, largest: mean + deviation };
    });
    const ends = rows.flatMap(({ least, largest }) => [least, largest] as (number | null)[]);
    const domain = stableDomain([...means, ...ends], null, log ? 'log' : 'linear');
    const series = seriesOf(
      points.map(({ name }) => name),
      table,
      theme,
    );
    const settings = [...new Set(points.map(({ bits }) => bits))];
    return {
      model: {
        spec: bitsSpec(settings, series, { log, isPerplexity: metric === 'perplexity' }, theme, standalone),
        data: { points: rows, full: full === null ? [] : [{ value: full, label: words }] },
        signals: { yMin: domain[0], yMax: domain[1], ...(log && { yTicks: logTicks(domain) }) },
        summary: summaryOf(
          view,
          strings.titles.bits,
          points.map(({ name, bits, mean }) =>
            fill(strings.summaryPoint, name, formatValue(mean, metric), bits),
          ),
        ),
        readout: full === null ? '' : words,
        note: '',
      },
      legend: series,
      about: fill(strings.about.bits, ...measuredWords(view)),
      empty: points.length === 0 ? strings.empty.bits : '',
    };
  },
  table(view) {
    const { strings } = view;
    const metric = columnOf(view)?.metric;
    const points = pointsOf(view);
    const settings = [...new Set(points.map(({ bits }) => bits))];
    const names = [...new Set(points.map(({ name }) => name))];
    const cell = (name: string, bits: string): string => {
      const point = points.find((one) => one.name === name && one.bits === bits);
      if (!point) return '–';
      const spread = point.deviation === 0 ? '' : ` ± ${formatValue(point.deviation, metric)}`;
      return `${formatValue(point.mean, metric)}${spread}`;
    };
    return {
      caption: `${strings.titles.bits} · ${measuredWords(view).join(' · ')}`,
      columns: [
        { title: strings.columns.row, numeric: false },
        ...settings.map((title) => ({ title, numeric: true })),
      ],
      rows: names.map((name) => [name, ...settings.map((bits) => cell(name, bits))]),
    };
  },
};
