import { fill } from '../../src/protocol/panels/fill.ts';
import type { SiteDetail } from '../../src/protocol/panels/layers.ts';
import type { LayersStrings } from '../../src/protocol/panels/layers-strings.ts';
import type { ChartModel, ChartSpec, Row, TableModel } from '../shared/chart-model.ts';
import { formatCount, formatNumber } from '../shared/format.ts';
import { fittedSpec, xAxis } from '../shared/spec-parts.ts';
import type { Theme } from '../shared/theme.ts';
import { colorLegend } from './color-legend.ts';
import { SIDES, type Side } from './histogram.ts';

/** More cells than this cannot be told apart: channels share a cell, which shows the largest of them. */
const MAX_CELLS = 256;
const ROW_PX = 34;
/** Channels in the table. */
const TABLE_ROWS = 100;
/** Decades of the colour scale at most: smaller maxima are all alike. */
const MAX_DECADES = 4;

interface Ranked {
  readonly channel: number;
  readonly maximum: number;
}

/** Channels with their maxima, the largest first. */
function ranked(maxima: readonly number[]): Ranked[] {
  return maxima
    .map((maximum, channel) => ({ channel, maximum }))
    .sort((a, b) => b.maximum - a.maximum || a.channel - b.channel);
}

/** Channels in a cell. */
export function cellSize(channels: number): number {
  return Math.max(1, Math.ceil(channels / MAX_CELLS));
}

/** The largest maximum in each cell, by index or from the largest down. */
export function cellMaxima(maxima: readonly number[], sorted: boolean): number[] {
  const values = sorted ? ranked(maxima).map(({ maximum }) => maximum) : maxima;
  const size = cellSize(values.length);
  return Array.from({ length: Math.ceil(values.length / size) }, (_, cell) =>
    Math.max(...values.slice(cell * size, (cell + 1) * size)),
  );
}

export function channelsChart(
  detail: SiteDetail,
  strings: LayersStrings,
  theme: Theme,
  sorted: boolean,
): ChartModel {
  const channels = detail.before.channelMaxima.length;
  const size = cellSize(channels);
  const cells = SIDES.flatMap((side) =>
    cellMaxima(detail[side].channelMaxima, sorted).map(
      (value, cell): Row => ({
        side: strings[side],
        from: cell * size,
        to: Math.min(channels, (cell + 1) * size),
        value,
      }),
    ),
  );
  const values = cells.map(({ value }) => value as number).filter((value) => value > 0);
  const largest = Math.max(...values, 1e-30);
  const least = Math.max(Math.min(...values, largest), largest * 10 ** -MAX_DECADES);
  return {
    spec: channelsSpec(strings, theme, sorted),
    data: { cells: cells.map((cell) => ({ ...cell, value: Math.max(cell.value as number, least) })) },
    signals: { xMax: channels, least, largest: largest > least ? largest : least * 10 },
    summary: channelsSummary(detail, strings),
    readout: '',
    note: '',
  };
}

function channelsSummary({ before, after }: SiteDetail, strings: LayersStrings): string {
  const [a, b] = [ranked(before.channelMaxima)[0], ranked(after.channelMaxima)[0]];
  if (!a || !b) return strings.channels;
  const [left, right] = [formatNumber(a.maximum, 3), formatNumber(b.maximum, 3)];
  return fill(strings.channelsSummary, strings.channels, left, a.channel, right, b.channel);
}

export function channelsAbout({ before }: SiteDetail, strings: LayersStrings): string {
  const channels = before.channelMaxima.length;
  const size = cellSize(channels);
  return size === 1
    ? fill(strings.channelsAbout, formatCount(channels))
    : fill(strings.channelsBlocks, formatCount(channels), size);
}

/** Light to dark by the theme's own background and foreground: lightness tells it all, no hue is needed. */
function channelsSpec(strings: LayersStrings, theme: Theme, sorted: boolean): ChartSpec {
  return fittedSpec(
    2 * ROW_PX,
    { xMax: 1, least: 0.1, largest: 1 },
    {
      data: { name: 'cells' },
      mark: { type: 'rect', strokeWidth: 0 },
      encoding: {
        x: xAxis('from', [0, { expr: 'xMax' }], {
          title: sorted ? strings.rank : strings.channel,
          format: 'd',
          tickCount: 8,
          tickMinStep: 1,
        }),
        x2: { field: 'to' },
        y: {
          field: 'side',
          type: 'nominal',
          scale: { domain: SIDES.map((side) => strings[side]), paddingInner: 0.1, paddingOuter: 0 },
          axis: { title: null, domain: false, ticks: false, minExtent: 36 },
        },
        color: {
          field: 'value',
          type: 'quantitative',
          scale: {
            type: 'log',
            domain: [{ expr: 'least' }, { expr: 'largest' }],
            range: [theme.background, theme.foreground],
            interpolate: 'lab',
            clamp: true,
            nice: false,
          },
          legend: colorLegend(strings.maximum, theme),
        },
      },
    },
  );
}

/** The channels of the cell under a place on the axis, with both maxima. */
export function cellReadout(detail: SiteDetail, x: number, sorted: boolean, strings: LayersStrings): string {
  const channels = detail.before.channelMaxima.length;
  const size = cellSize(channels);
  const cell = Math.min(Math.floor(x / size), Math.ceil(channels / size) - 1);
  const [from, to] = [cell * size, Math.min(channels, (cell + 1) * size) - 1];
  const where = `${sorted ? strings.rank : strings.channel} ${from === to ? from : `${from}–${to}`}`;
  const value = (side: Side) => formatNumber(cellMaxima(detail[side].channelMaxima, sorted)[cell] ?? null, 3);
  return `${where}: ${SIDES.map((side) => `${strings[side]} ${value(side)}`).join(' · ')}`;
}

/** The channels with the largest maxima on either side, by rank. */
export function channelsTable(detail: SiteDetail, strings: LayersStrings): TableModel {
  const [before, after] = [ranked(detail.before.channelMaxima), ranked(detail.after.channelMaxima)];
  const rows = before.slice(0, TABLE_ROWS).map((own, rank) => {
    const other = after[rank]!;
    return [
      String(rank + 1),
      String(own.channel),
      formatNumber(own.maximum, 3),
      String(other.channel),
      formatNumber(other.maximum, 3),
    ];
  });
  const column = (title: string) => ({ title, numeric: true });
  return {
    caption: channelsAbout(detail, strings),
    columns: [
      column(strings.rank),
      column(`${strings.before}: ${strings.channel}`),
      column(strings.maximum),
      column(`${strings.after}: ${strings.channel}`),
      column(strings.maximum),
    ],
    rows,
  };
}

/** Number of the channel with the largest maximum, and how far it stands above the median: `1812 (74×)`. */
export function worstChannel(maxima: readonly number[]): string {
  if (maxima.length === 0) return '–';
  const largest = maxima.reduce((most, value) => Math.max(most, value), 0);
  const sorted = [...maxima].sort((a, b) => a - b);
  const median = sorted[sorted.length >> 1]!;
  const times = median > 0 ? ` (${formatNumber(largest / median, 2)}×)` : '';
  return `${maxima.indexOf(largest)}${times}`;
}
