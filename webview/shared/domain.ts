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
  return kind === 'log' ? logDomain(lo, hi) : linearDomain(lo, hi, kind);
}

function fits(lo: number, hi: number, [from, to]: Domain, kind: AxisKind): boolean {
  if (lo < from || hi > to) return false;
  // A log axis spans at least a decade whatever the data are, so only a linear one can be too wide.
  if (kind === 'log') return Math.log10(to / from) <= 2 * Math.max(1, Math.log10(hi / lo));
  return (hi - lo) / (to - from) >= LEAST_FILL || hi === lo;
}

function linearDomain(lo: number, hi: number, kind: AxisKind): Domain {
  const span = hi - lo || Math.abs(hi) || 1;
  const step = roundStep(span / 4);
  const from = kind === 'from-zero' && lo === 0 ? 0 : Math.floor((lo - ROOM * span) / step) * step;
  return [clean(from), clean(Math.ceil((hi + ROOM * span) / step) * step)];
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

/** Ticks of a log axis: each decade, every other of many, and 2 and 5 times it of few. */
export function logTicks([from, to]: Domain): number[] {
  const [first, last] = [Math.round(Math.log10(from)), Math.round(Math.log10(to))];
  const decades = last - first;
  const stride = decades > 12 ? 4 : decades > 5 ? 2 : 1;
  const digits = decades <= 1 ? [1, 2, 5] : [1];
  const ticks: number[] = [];
  for (let power = first; power <= last; power += stride)
    for (const digit of digits) {
      const tick = Number(`${digit}e${power}`);
      if (tick <= to * (1 + 1e-9)) ticks.push(tick);
    }
  return ticks;
}

/** Ticks of an axis of steps: the first, round ones, and the last, none glued to it. */
export function stepTicks(last: number): number[] {
  const stride = Math.max(1, roundStep(last / 5));
  const ticks = [1];
  for (let tick = stride; tick < last - stride; tick += stride) if (tick > 1) ticks.push(tick);
  return [...ticks, last];
}
