/** Axes of a table's numbers. A value far beyond all others is written in a band above the axis, not drawn on it. */
import type { MatrixColumn } from '../../../src/protocol/panels/matrix.ts';
import {
  type Domain,
  linearTicks,
  logTicks,
  tightLinearDomain,
  tightLogDomain,
} from '../../shared/domain.ts';

export interface Scale {
  readonly log: boolean;
  readonly domain: Domain;
  readonly ticks: readonly number[];
}

/** Where the largest value is so many times the least, an axis is logarithmic. */
const WIDE = 2;
/** A perplexity so many times the next one below it would squash the others, on a log axis, too. */
const FAR = 3;
/** With more far values, the band would be higher than the chart. */
const MOST_FAR = 8;
/** Height of a row of the band, and of what lies between it and the axis, in pixels. */
const [ROW, GAP] = [15, 8];

/** @param values null is left out, and on a log axis what is not positive. */
export function scaleOf(values: readonly (number | null)[], log: boolean): Scale {
  const domain = log ? tightLogDomain(values) : tightLinearDomain(values);
  return { log, domain, ticks: log ? logTicks(domain) : linearTicks(domain) };
}

/** Whether values ask for a log axis. */
export function isWide(values: readonly number[]): boolean {
  return values.length > 0 && Math.max(...values) > WIDE * Math.min(...values);
}

/**
 * The largest value that an axis of perplexities shows: the one below the first gap that leaves no more values above it
 * than below. Infinity where no value is far. A share of questions cannot be far.
 */
export function nearLimit(values: readonly number[], metric: MatrixColumn['metric'] | undefined): number {
  if (metric !== 'perplexity') return Number.POSITIVE_INFINITY;
  const sorted = [...values].sort((a, b) => a - b);
  const at = sorted.findIndex((value, index) => {
    const far = sorted.length - index - 1;
    const next = sorted[index + 1] ?? value;
    const isApart = next > FAR * value && far <= Math.min(index + 1, MOST_FAR);
    return isApart || (next === Number.POSITIVE_INFINITY && Number.isFinite(value));
  });
  return sorted[at] ?? Number.POSITIVE_INFINITY;
}

/** A value at a share of the width. */
export interface Standing {
  readonly share: number;
  readonly value: number;
  /** What else of it the axis shows, if that is not far, too. */
  readonly ends: readonly number[];
}

/** An axis with the places of its values. */
export interface Placement<T> {
  /** With the band above its ticks. */
  readonly scale: Scale;
  /** Height of the band, in pixels. */
  readonly band: number;
  /** Largest value of the axis below the band. */
  readonly top: number;
  readonly placed: readonly (T & Placed)[];
}

export interface Placed {
  /** The value, or its place in the band. */
  readonly at: number;
  readonly isBeyond: boolean;
}

interface AxisOptions {
  readonly metric: MatrixColumn['metric'] | undefined;
  /** What the axis shows besides. */
  readonly besides: readonly number[];
  /** Without the band, in pixels. */
  readonly height: number;
  /** Share of the width from which on two points may share a row of the band. */
  readonly apart: number;
}

/** Places values on an axis, and far ones in a band above it: larger ones above smaller ones. */
export function placeValues<T extends Standing>(
  points: readonly T[],
  { metric, besides, height, apart }: AxisOptions,
): Placement<T> {
  const limit = nearLimit([...points.map(({ value }) => value), ...besides], metric);
  const far = points.filter(({ value }) => value > limit || value === Number.POSITIVE_INFINITY);
  const near = points.filter((point) => !far.includes(point));
  const values = [...near.map(({ value }) => value), ...besides];
  const ends = near.flatMap((point) => point.ends).filter((end) => end <= limit);
  const scale = scaleOf([...values, ...ends], metric === 'perplexity' && isWide(values));
  const rows = rowsOf(far, apart);
  const band = far.length === 0 ? 0 : ROW * (Math.max(...rows) + 1) + GAP;
  const [from, to] = scale.log ? [Math.log(scale.domain[0]), Math.log(scale.domain[1])] : scale.domain;
  const perPixel = (to - from) / height;
  const valueAt = (pixels: number) => {
    const value = to + perPixel * pixels;
    return scale.log ? Math.exp(value) : value;
  };
  const placed = points.map((point) => {
    const row = rows[far.indexOf(point)];
    const at = row === undefined ? point.value : valueAt(band - ROW * (row + 0.5));
    return { ...point, at, isBeyond: row !== undefined };
  });
  return {
    scale: band === 0 ? scale : { ...scale, domain: [scale.domain[0], valueAt(band)] },
    ...{ band, top: scale.domain[1], placed },
  };
}

/** The row of each point in the band, from above. */
function rowsOf(far: readonly Standing[], apart: number): number[] {
  const rows = far.map(() => 0);
  const placed: number[] = [];
  const order = far.map((_, index) => index).sort((a, b) => far[b]!.value - far[a]!.value);
  for (const index of order) {
    const near = placed.filter((other) => Math.abs(far[other]!.share - far[index]!.share) < apart);
    rows[index] = Math.max(-1, ...near.map((other) => rows[other]!)) + 1;
    placed.push(index);
  }
  return rows;
}

/** The parameters of an axis as values of signals: `yMin`, `yMax`, `yTicks`. */
export function axisSignals(side: 'x' | 'y', { domain, ticks }: Scale) {
  return { [`${side}Min`]: domain[0], [`${side}Max`]: domain[1], [`${side}Ticks`]: ticks };
}
