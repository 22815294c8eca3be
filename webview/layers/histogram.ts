import { fill } from '../../src/protocol/panels/fill.ts';
import type { Grid, SideDetail, SiteDetail } from '../../src/protocol/panels/layers.ts';
import type { LayersStrings } from '../../src/protocol/panels/layers-strings.ts';
import type { ChartModel, ChartSpec, Row, TableModel } from '../shared/chart-model.ts';
import { formatCount, formatNumber } from '../shared/format.ts';
import { category, fittedSpec, xAxis } from '../shared/spec-parts.ts';
import { beforeColor, type Theme } from '../shared/theme.ts';

export type Side = 'before' | 'after';
export const SIDES = ['before', 'after'] as const satisfies readonly Side[];

/** Each side has its own strip, one above the other, over one axis: pixels from the top. */
const STRIPS = {
  before: { top: 16, base: 106 },
  after: { top: 140, base: 230 },
} as const;
const HEIGHT = 244;
/** Ticks of a finer grid would run into each other. */
const MAX_TICKS = 64;
const TICK_PX = 8;
/** Width of a strip in a panel beside the text. */
const USUAL_PX = 480;
/** The whole label of a strip needs so much. */
const LABEL_PX = 360;
/** A bin with one value still has a height on a log axis. */
const LOG_FLOOR = 0.6;

/** Ends of bin `index`. */
function binEnds({ min, max, before }: SiteDetail, index: number): readonly [number, number] {
  const width = (max - min) / before.counts.length;
  return [min + index * width, min + (index + 1) * width];
}

/** The histogram's axis may be twice as long as needed: the part that either side reaches, with a little room. */
export function visibleDomain(detail: SiteDetail): readonly [number, number] {
  const used = detail.before.counts.flatMap((count, index) =>
    count > 0 || detail.after.counts[index]! > 0 ? [index] : [],
  );
  if (used.length === 0) return [detail.min, detail.max];
  const largest = Math.max(detail.before.maxAbs, detail.after.maxAbs);
  const lo = Math.max(binEnds(detail, used[0]!)[0], -largest);
  const hi = Math.min(binEnds(detail, used.at(-1)!)[1], largest);
  // A grid with its zero point rounded reaches beyond the values by up to half a step.
  const levels = SIDES.flatMap((side) => detail[side].grid?.levels ?? []);
  const [from, to] = [Math.min(lo, ...levels), Math.max(hi, ...levels)];
  const room = 0.02 * (to - from);
  return [from - room, to + room];
}

export interface HistogramView {
  readonly logCounts: boolean;
  /** The same place of another run, which has the same axes. */
  readonly beside?: SiteDetail | null;
  /** The part of the x axis that is shown; null for all. */
  readonly zoom?: readonly [number, number] | null;
}

/** One axis for a run and the one beside it. */
function sharedDomain(detail: SiteDetail, beside: SiteDetail | null): readonly [number, number] {
  const own = visibleDomain(detail);
  if (beside === null) return own;
  const other = visibleDomain(beside);
  return [Math.min(own[0], other[0]), Math.max(own[1], other[1])];
}

export function histogramChart(
  detail: SiteDetail,
  strings: LayersStrings,
  theme: Theme,
  { logCounts, beside = null, zoom = null }: HistogramView,
): ChartModel {
  const [lo, hi] = zoom ?? sharedDomain(detail, beside);
  const both = [detail, ...(beside ? [beside] : [])];
  const top = Math.max(1, ...both.flatMap(({ before, after }) => [...before.counts, ...after.counts]));
  const floor = logCounts ? LOG_FLOOR : 0;
  return {
    spec: histogramSpec(strings, theme, logCounts),
    data: {
      ...Object.fromEntries(SIDES.map((side) => [side, bars(detail, side, floor)])),
      ticks: SIDES.flatMap((side) => gridTicks(detail[side].grid, side, hi - lo)),
      brackets: SIDES.flatMap((side) => gridBracket(detail[side].grid, side)),
      labels: SIDES.map((side) => ({ y: STRIPS[side].top - 6, ...sideLabel(detail, side, strings) })),
    },
    signals: { xMin: lo, xMax: hi, yMax: logCounts ? 1.5 * top : 1.05 * top },
    summary: fill(
      strings.histogramSummary,
      strings.histogram,
      formatNumber(detail.before.peak, 3),
      formatNumber(detail.before.kurtosis, 3),
      formatNumber(detail.after.peak, 3),
      formatNumber(detail.after.kurtosis, 3),
    ),
    readout: '',
    note: '',
  };
}

function bars(detail: SiteDetail, side: Side, floor: number): Row[] {
  return detail[side].counts.flatMap((count, index) => {
    if (count === 0) return [];
    const [from, to] = binEnds(detail, index);
    return [{ from, to, count, floor }];
  });
}

/** Between the ticks and the bars no distance, so that a level can be read upwards into the bars. */
function gridTicks(grid: Grid | null, side: Side, span: number): Row[] {
  if (!grid || grid.levels.length > MAX_TICKS) return [];
  const { base } = STRIPS[side];
  // Ticks that stand close are thinner: a third of their distance in a strip of the usual width.
  const apart = (stepOf(grid) / span) * USUAL_PX;
  const weight = Math.min(1.5, Math.max(0.5, apart / 3));
  return grid.levels.map((level) => ({ side, level, from: base + 1, to: base + 1 + TICK_PX, weight }));
}

/** The reach of the grid; alone where its levels are too fine to draw. */
function gridBracket(grid: Grid | null, side: Side): Row[] {
  if (!grid) return [];
  return [{ side, from: grid.levels[0]!, to: grid.levels.at(-1)!, y: STRIPS[side].base + 1 + TICK_PX / 2 }];
}

/** `after R4 · largest 2.1 = 4.1 σ · step 0.2`, and what of it fits into a narrow strip: `after R4 · step 0.2`. */
function sideLabel({ rotation, ...detail }: SiteDetail, side: Side, strings: LayersStrings): Row {
  const names = rotation.join(' ') || strings.rotation;
  const when = fill(side === 'before' ? strings.beforeRotation : strings.afterRotation, names);
  const { peak, maxAbs, grid } = detail[side];
  const largest = `${strings.peak} ${formatNumber(maxAbs, 3)} = ${fill(strings.sigma, formatNumber(peak, 3))}`;
  const step = grid ? [gridStep(grid, strings)] : [];
  return { text: [when, largest, ...step].join(' · '), short: [when, ...step].join(' · ') };
}

/** The distance of two levels. */
function gridStep(grid: Grid, strings: LayersStrings): string {
  return fill(strings.gridStep, formatNumber(stepOf(grid), 3));
}

const stepOf = ({ levels }: Grid): number => levels[1]! - levels[0]!;

const solid = (color: string) => ({ fill: color, stroke: color, strokeWidth: 0.6 });

function histogramSpec(strings: LayersStrings, theme: Theme, logCounts: boolean): ChartSpec {
  const x = (field: string) =>
    xAxis(field, [{ expr: 'xMin' }, { expr: 'xMax' }], { title: strings.value, offset: 6, tickCount: 8 });
  const span = { x: x('from'), x2: { field: 'to' } };
  const bar = (side: Side) => ({
    data: { name: side },
    // The outline closes the hairlines that smoothing leaves between neighbours.
    mark: { type: 'rect', clip: true, ...solid(side === 'before' ? beforeColor(theme) : theme.accent) },
    encoding: { ...span, y: countAxis(side, logCounts, strings.count), y2: { field: 'floor' } },
  });
  const color = category('side', SIDES, [beforeColor(theme), theme.accent]);
  const shade = { type: 'rect', color: theme.muted, opacity: 0.25 };
  const pixels = (field: string) => ({ field, scale: null, axis: null, type: 'quantitative' });
  const layer = [
    { data: { name: 'brush' }, mark: shade, encoding: span },
    { data: { name: 'cursor' }, mark: shade, encoding: span },
    bar('before'),
    bar('after'),
    {
      data: { name: 'brackets' },
      mark: { type: 'rule', clip: true, strokeWidth: 1, opacity: 0.7 },
      encoding: { ...span, y: pixels('y'), color },
    },
    {
      data: { name: 'ticks' },
      mark: { type: 'rule', clip: true },
      encoding: {
        x: x('level'),
        y: pixels('from'),
        y2: { field: 'to' },
        color,
        strokeWidth: { field: 'weight', type: 'quantitative', scale: null },
      },
    },
    {
      data: { name: 'labels' },
      transform: [{ calculate: `width > ${LABEL_PX} ? datum.text : datum.short`, as: 'shown' }],
      mark: { type: 'text', align: 'left', baseline: 'bottom', fontWeight: 'bold' },
      encoding: { x: { value: 2 }, y: pixels('y'), text: { field: 'shown' } },
    },
  ];
  const resolve = { scale: { y: 'independent' }, axis: { y: 'independent' } };
  return fittedSpec(HEIGHT, { xMin: -1, xMax: 1, yMax: 10 }, { resolve, layer });
}

/** Each side has its own strip of the drawing, and its own axis of the same length. */
function countAxis(side: Side, logCounts: boolean, title: string): object {
  return {
    field: 'count',
    type: 'quantitative',
    scale: {
      type: logCounts ? 'log' : 'linear',
      domain: [logCounts ? LOG_FLOOR : 0, { expr: 'yMax' }],
      range: [STRIPS[side].base, STRIPS[side].top],
      nice: false,
      ...(!logCounts && { zero: true }),
    },
    axis: { title, orient: 'left', grid: true, format: '~s', tickCount: 4, minExtent: 36 },
  };
}

/** The quantizer's grid, in a sentence. */
export function gridAbout({ before, after, shares }: SiteDetail, strings: LayersStrings): string {
  const grid = after.grid ?? before.grid;
  if (!grid) return strings.notQuantized;
  const { levels, bits, symmetric } = grid;
  const kind = symmetric ? strings.symmetric : strings.asymmetric;
  const isFine = levels.length > MAX_TICKS;
  if (grid.of === 'median') {
    const template = isFine ? strings.gridMedianFine : strings.gridMedian;
    return fill(template, levels.length, bits, kind, strings.share[shares], strings.shares[shares]);
  }
  const text = fill(isFine ? strings.gridFine : strings.gridAbout, levels.length, bits, kind);
  if (shares === 'token') return text;
  return `${text}; ${shares === 'head' ? strings.gridHead : strings.gridGroup}`;
}

/** The bin under a value. */
export function binAt(detail: SiteDetail, value: number): number | null {
  const { min, max, before } = detail;
  const index = Math.floor(((value - min) / (max - min)) * before.counts.length);
  return index >= 0 && index < before.counts.length ? index : null;
}

export function binReadout(detail: SiteDetail, index: number, strings: LayersStrings): string {
  const [from, to] = binEnds(detail, index);
  const counts = SIDES.map((side) => `${strings[side]} ${formatCount(detail[side].counts[index]!)}`);
  return `${formatNumber(from, 3)} … ${formatNumber(to, 3)}: ${counts.join(' · ')}`;
}

export function binRow(detail: SiteDetail, index: number): Row {
  const [from, to] = binEnds(detail, index);
  return { from, to };
}

/** Bins that hold anything. */
export function histogramTable(detail: SiteDetail, strings: LayersStrings): TableModel {
  const side = (which: SideDetail, index: number) => formatCount(which.counts[index]!);
  return {
    caption: strings.histogram,
    columns: [
      { title: strings.bin, numeric: true },
      { title: strings.before, numeric: true },
      { title: strings.after, numeric: true },
    ],
    rows: detail.before.counts.flatMap((count, index) => {
      if (count === 0 && detail.after.counts[index] === 0) return [];
      const [from, to] = binEnds(detail, index);
      const bin = `${formatNumber(from, 3)} … ${formatNumber(to, 3)}`;
      return [[bin, side(detail.before, index), side(detail.after, index)]];
    }),
  };
}
