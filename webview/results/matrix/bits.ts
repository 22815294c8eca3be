/** Perplexity or accuracy against the setting of bits, a line for each row of the table. */
import { fill } from '../../../src/protocol/panels/fill.ts';
import type { ChartSpec, Row } from '../../shared/chart-model.ts';
import { category, fittedSpec } from '../../shared/spec-parts.ts';
import type { Theme } from '../../shared/theme.ts';
import { axisSignals, type Placement, placeValues, type Standing } from './scale.ts';
import { aboutWithArrows, farLabel, farLabels, measureAxis, seriesChannels, textLayers } from './spec.ts';
import {
  columnIndex,
  columnOf,
  formatValue,
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
/** Of the axis of bits, at both ends, in steps. */
const PADDING = 0.4;
/** Texts of two settings of bits beside each other do not touch. */
const APART = 0.15;

/** A row at a setting of bits. */
interface Point extends Standing {
  readonly name: string;
  readonly bits: string;
  readonly deviation: number;
}

type Points = Placement<Point>;

function pointsOf(view: PictureView): Point[] {
  const names = methodsOf(view.table);
  const column = columnIndex(view);
  const settings = settingsOf(view);
  return view.table.rows
    .filter(({ isFull }) => !isFull)
    .flatMap((row) => {
      const value = meanOf(row, column);
      const { bits, method, title, values } = row;
      if (value === null) return [];
      const deviation = values[column]?.deviation ?? 0;
      const share = shareOf(settings.indexOf(bits), settings);
      const ends = [value - deviation, value + deviation];
      return [{ name: names.get(method) ?? title, bits, value, deviation, share, ends }];
    });
}

/** Settings of bits with a number. */
function settingsOf(view: PictureView): string[] {
  const column = columnIndex(view);
  const measured = view.table.rows.filter((row) => !row.isFull && meanOf(row, column) !== null);
  return [...new Set(measured.map(({ bits }) => bits))];
}

/** Where a setting stands on the axis, whose points have some padding at both ends. */
function shareOf(index: number, { length }: readonly string[]): number {
  return (index + PADDING) / (length - 1 + 2 * PADDING);
}

function fullPrecision(view: PictureView): number | null {
  const row = view.table.rows.find(({ isFull }) => isFull);
  const mean = row ? meanOf(row, columnIndex(view)) : null;
  return mean !== null && Number.isFinite(mean) ? mean : null;
}

/** The pieces of the lines, those to a point beyond the axis apart. */
function piecesOf(settings: readonly string[], { placed }: Points): Row[] {
  return [...new Set(placed.map(({ name }) => name))].flatMap((name) => {
    const own = settings.flatMap(
      (bits) => placed.find((one) => one.name === name && one.bits === bits) ?? [],
    );
    return own.slice(1).flatMap((to, index) => {
      const ends = [own[index]!, to];
      const beyond = ends.some(({ isBeyond }) => isBeyond);
      return ends.map(({ bits, at }) => ({
        series: name,
        piece: `${name} ${index}`,
        beyond,
        bits,
        value: at,
      }));
    });
  });
}

/** Pieces of a line that lead beyond the axis are dotted. */
const BEYOND_DASHES = {
  ...category('beyond', [], []),
  scale: {
    domain: [false, true],
    range: [
      [1, 0],
      [2, 3],
    ],
  },
};

/**
 * Data sets: `points` {series, bits, value}, `bars` {series, bits, least, largest}, `pieces` {series, piece, beyond,
 * bits, value}, `far` {bits, value, label, atLeft}, `full` {value, label}.
 */
function bitsSpec(
  settings: readonly string[],
  { scale: { log }, band }: Points,
  series: readonly Series[],
  isPerplexity: boolean,
  theme: Theme,
  standalone: boolean,
): ChartSpec {
  const axis = { title: null, labelAngle: 0, grid: false };
  const scale = { domain: settings, type: 'point', padding: PADDING };
  const x = { field: 'bits', type: 'ordinal', scale, axis };
  const y = (field: string) => measureAxis('y', field, log, { minExtent: 40 });
  const { color, shape } = seriesChannels(series, theme.background, standalone);
  const layer = (name: string, mark: unknown, encoding: object) => ({ data: { name }, mark, encoding });
  // The side of the line where quantized models are not: below the least perplexity, above the best accuracy.
  const side = isPerplexity ? { baseline: 'top', dy: 4 } : { baseline: 'bottom', dy: -2 };
  const label = { align: 'right', ...side, fill: theme.muted };
  const fullLine = { type: 'rule', strokeDash: [5, 3], color: theme.muted };
  const point = { type: 'point', filled: true, opacity: 1, size: 55 };
  return fittedSpec(
    HEIGHT + band,
    { yMin: 0.1, yMax: 1, yTicks: [0.1, 1] },
    {
      layer: [
        layer('full', fullLine, { y: y('value') }),
        layer('pieces', 'line', {
          x,
          y: y('value'),
          color,
          strokeDash: BEYOND_DASHES,
          detail: { field: 'piece' },
        }),
        layer(
          'bars',
          { type: 'rule', strokeWidth: 1.5 },
          { x, y: y('least'), y2: { field: 'largest' }, color },
        ),
        layer('points', point, { x, y: y('value'), color, shape }),
        ...farLabels(x, y('value'), theme),
        ...textLayers(
          layer('full', null, { x: { value: 'width' }, y: y('value'), text: { field: 'label' } }),
          label,
          theme,
        ),
      ],
    },
  );
}

/** What stands for the spread. Where a log axis has no place for its lower end, the bar ends at the mean. */
function barOf({ name, bits, value, deviation }: Point, { scale: { log }, top }: Points): Row {
  const least = log && value - deviation <= 0 ? value : value - deviation;
  return { series: name, bits, least, largest: Math.min(value + deviation, top) };
}

function dataOf(settings: readonly string[], points: Points, view: PictureView) {
  const { placed } = points;
  const metric = columnOf(view)?.metric;
  const far = placed.filter(({ isBeyond }) => isBeyond);
  return {
    points: placed.map(({ name, bits, at }): Row => ({ series: name, bits, value: at })),
    bars: placed
      .filter(({ isBeyond, deviation }) => !isBeyond && deviation > 0)
      .map((point) => barOf(point, points)),
    pieces: piecesOf(settings, points),
    far: far.map(
      ({ bits, at, share, value }): Row => ({
        ...{ bits, value: at },
        ...farLabel(formatValue(value, metric), share),
      }),
    ),
  };
}

export const bitsPicture: PictureKind = {
  draw(view, theme, standalone) {
    const { strings, table } = view;
    const metric = columnOf(view)?.metric;
    const points = pointsOf(view);
    const full = fullPrecision(view);
    const label = `${strings.fullPrecision} ${formatValue(full, metric)}`;
    const settings = settingsOf(view);
    const besides = full === null ? [] : [full];
    const placement = placeValues(points, {
      ...{ metric, besides, height: HEIGHT, apart: APART },
      labelled: metric === 'perplexity' ? full : null,
    });
    const series = seriesOf(
      points.map(({ name }) => name),
      table,
      theme,
    );
    return {
      model: {
        spec: bitsSpec(settings, placement, series, metric === 'perplexity', theme, standalone),
        data: {
          ...dataOf(settings, placement, view),
          full: besides.map((value) => ({ value, label })),
        },
        signals: axisSignals('y', placement.scale),
        summary: summaryOf(
          view,
          strings.titles.bits,
          points.map(({ name, bits, value }) =>
            fill(strings.summaryPoint, name, formatValue(value, metric), bits),
          ),
        ),
        readout: '',
        note: '',
      },
      legend: series,
      about: aboutWithArrows(fill(strings.about.bits, ...measuredWords(view)), placement.band, strings),
      empty: points.length === 0 ? strings.empty.bits : '',
    };
  },
  table(view) {
    const { strings } = view;
    const metric = columnOf(view)?.metric;
    const points = pointsOf(view);
    const settings = settingsOf(view);
    const names = [...new Set(points.map(({ name }) => name))];
    const cell = (name: string, bits: string): string => {
      const point = points.find((one) => one.name === name && one.bits === bits);
      if (!point) return '–';
      const spread = point.deviation === 0 ? '' : ` ± ${formatValue(point.deviation, metric)}`;
      return `${formatValue(point.value, metric)}${spread}`;
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
