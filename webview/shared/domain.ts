/** Ends of an axis. */
export type Domain = readonly [number, number];

export type AxisKind = 'linear' | 'from-zero' | 'log';

/** An axis is drawn again when its data fill less than this share of it. */
const LEAST_FILL = 0.4;
/** Space for data to come, as a share of those there are. */
const ROOM = 0.2;

/**
 * The domain of a live axis. The old one stays as long as the data fit and fill it, so that axes do not jump; a new one
 * has round ends and some room to grow.
 * @param values null, and for a log axis what is not positive, are left out.
 */
export function stableDomain(
  values: readonly (number | null)[],
  previous: Domain | null,
  kind: AxisKind,
): Domain {
  const known = values.filter((value): value is number => value !== null && (kind !== 'log' || value > 0));
  if (known.length === 0) return previous ?? (kind === 'log' ? [0.1, 1] : [0, 1]);
  let [lo, hi] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of known) {
    if (value < lo) lo = value;
    if (value > hi) hi = value;
  }
  if (kind === 'from-zero') [lo, hi] = [Math.min(0, lo), Math.max(0, hi)];
  if (previous && fits(lo, hi, previous, kind)) return previous;
  if (kind === 'log') return logDomain(lo, hi);
  return kind === 'from-zero' && lo === 0
    ? [0, linearDomain(lo, hi, ROOM, 4)[1]]
    : linearDomain(lo, hi, ROOM, 4);
}

function fits(lo: number, hi: number, [from, to]: Domain, kind: AxisKind): boolean {
  if (lo < from || hi > to) return false;
  // A log axis spans at least a decade whatever the data are, so only a linear one can be too wide.
  if (kind === 'log') return Math.log10(to / from) <= 2 * Math.max(1, Math.log10(hi / lo));
  return (hi - lo) / (to - from) >= LEAST_FILL || hi === lo;
}

/** @param room at each end, as a share of the data's span. @param steps of which the span is about. */
function linearDomain(lo: number, hi: number, room: number, steps: number): Domain {
  const span = hi - lo || Math.abs(hi) || 1;
  const step = roundStep(span / steps);
  return [
    clean(Math.floor((lo - room * span) / step) * step),
    clean(Math.ceil((hi + room * span) / step) * step),
  ];
}

/** Whole decades, at least one, and not glued to the data. */
function logDomain(lo: number, hi: number): Domain {
  const from = Math.floor(Math.log10(lo / 1.2));
  const to = Math.ceil(Math.log10(hi * 1.2));
  return [10 ** from, 10 ** Math.max(to, from + 1)];
}

/** The 1, 2 or 5 times a power of ten next above. */
function roundStep(size: number): number {
  const power = 10 ** Math.floor(Math.log10(size));
  const digit = size / power;
  return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

/** 0.30000000000000004 → 0.3 */
function clean(value: number): number {
  return Number(value.toPrecision(12));
}

/** The domain of a linear axis that does not move: the data, with round ends. */
export function tightLinearDomain(values: readonly (number | null)[]): Domain {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return [0, 1];
  const lo = Math.min(...known);
  const [from, to] = linearDomain(lo, Math.max(...known), 0.04, 8);
  // Of what is never negative, an axis below zero would show nothing.
  return [lo < 0 ? from : Math.max(0, from), to];
}

/** The domain of a log axis that does not move: from a 1, 2 or 5 times a power of ten to another. */
export function tightLogDomain(values: readonly (number | null)[]): Domain {
  const known = values.filter((value): value is number => value !== null && value > 0);
  if (known.length === 0) return [0.1, 1];
  const to = roundStep(Math.max(...known) * 1.05);
  // What is next above an inverse is the inverse of what is next below: 1, 2 and 5 are 10 divided by 1, 5 and 2.
  const from = 1 / roundStep(1.05 / Math.min(...known));
  return [clean(from), clean(from < to ? to : roundStep(1.5 * to))];
}

/** Ticks of a log axis: each decade, every other of many, and 2 and 5 times it of fewer than three. */
export function logTicks(domain: Domain): number[] {
  const ticks = decadeTicks(domain, [1]);
  return ticks.length < 3 ? decadeTicks(domain, [1, 2, 5]) : ticks;
}

function decadeTicks([from, to]: Domain, digits: readonly number[]): number[] {
  const [first, last] = [Math.floor(Math.log10(from) + 1e-9), Math.ceil(Math.log10(to) - 1e-9)];
  const decades = last - first;
  const stride = decades > 12 ? 4 : decades > 5 ? 2 : 1;
  const ticks: number[] = [];
  for (let power = first; power <= last; power += stride)
    for (const digit of digits) {
      const tick = Number(`${digit}e${power}`);
      if (tick >= from * (1 - 1e-9) && tick <= to * (1 + 1e-9)) ticks.push(tick);
    }
  return ticks;
}

/** Four to eight round ticks of a linear axis. */
export function linearTicks([from, to]: Domain): number[] {
  const step = roundStep((to - from) / 7);
  const [first, last] = [Math.ceil(from / step - 1e-9), Math.floor(to / step + 1e-9)];
  return Array.from({ length: last - first + 1 }, (_, index) => clean((first + index) * step));
}

/** Ticks of an axis of steps: the first, round ones, and the last, none glued to it. */
export function stepTicks(last: number): number[] {
  const stride = Math.max(1, roundStep(last / 5));
  const ticks = [1];
  for (let tick = stride; tick < last - stride; tick += stride) if (tick > 1) ticks.push(tick);
  return [...ticks, last];
}
