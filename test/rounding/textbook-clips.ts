/** Clip ratios learned on GPTQ's loss, row by row in double precision. */

export interface ClipProblem {
  readonly rows: number;
  readonly columns: number;
  readonly w: ArrayLike<number>;
  /** H + λI [columns, columns]. */
  readonly h: Float64Array;
  readonly bits: number;
  readonly symmetric: boolean;
  /** Columns that share a scale; 0 for whole rows. */
  readonly group: number;
  /** False where ratios begin at 1. */
  readonly clipSearch: boolean;
}

/** Ratios of the upper and the lower ends of a row's groups; symmetric grids have one for both. */
interface Ends {
  readonly upper: number[];
  readonly lower: number[];
}

const even = (x: number): number => {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
};

const sigma = (x: number): number => 1 / (1 + Math.exp(-x));

/** Weights of one group on its grid, what they are off by, and how they move with both ends, roundings standing still. */
function onGrid({ bits, symmetric, group }: ClipProblem, w: readonly number[], upper: number, lower: number) {
  const [low, high] = symmetric ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  let [least, most] = [Math.min(...w), Math.max(...w)];
  if (group === 0) [least, most] = [Math.min(least, 0), Math.max(most, 0)];
  const reach = Math.max(Math.abs(least), Math.abs(most));
  const s = symmetric ? (upper * reach) / high : (upper * most - lower * least) / high;
  const exact = symmetric ? 0 : (-lower * least) / s;
  const zero = even(exact);
  const errors: number[] = [];
  const byUpper: number[] = [];
  const byLower: number[] = [];
  for (const value of w) {
    const wanted = even(value / s) + zero;
    const code = Math.min(Math.max(wanted, low), high);
    const isInside = code === wanted;
    errors.push(s * (code - zero) - value);
    // Inside, Ŵ = s (w/s + r) with what rounding adds; outside, Ŵ = s code + lower·least − (zero − exact) s.
    const byStep = isInside ? code - zero - value / s : code - (zero - exact);
    byUpper.push((byStep * (symmetric ? reach : most)) / high);
    byLower.push(symmetric ? 0 : (-byStep * least) / high + (isInside ? 0 : least));
  }
  return { s, zero: zero - (symmetric ? 0 : 2 ** (bits - 1)), errors, byUpper, byLower };
}

/** A row on its grids: its loss, and the derivatives of it by the ratios. */
function rowAt(problem: ClipProblem, row: number, { upper, lower }: Ends) {
  const { columns, w, h } = problem;
  const size = problem.group || columns;
  const parts = upper.map((ratio, group) => {
    const start = row * columns + group * size;
    return onGrid(
      problem,
      Array.from({ length: size }, (_, i) => w[start + i]!),
      ratio,
      lower[group]!,
    );
  });
  const e = parts.flatMap(({ errors }) => errors);
  const pulls = e.map((_, i) => e.reduce((sum, value, j) => sum + value * h[i * columns + j]!, 0));
  const slope = (moves: readonly number[], group: number): number =>
    moves.reduce((sum, move, i) => sum + 2 * pulls[group * size + i]! * move, 0);
  return {
    loss: e.reduce((sum, value, i) => sum + value * pulls[i]!, 0),
    upper: parts.map(({ byUpper }, group) => slope(byUpper, group)),
    lower: parts.map(({ byLower }, group) => slope(byLower, group)),
    scale: parts.map(({ s }) => s),
    zero: parts.map(({ zero }) => zero),
  };
}

/** The first of the ratios 1.00 … 0.21, or of 1 alone, with the least Σ|Q(w) − w|^2.4. */
function searched(problem: ClipProblem, w: readonly number[]): number {
  let [best, least] = [1, Number.POSITIVE_INFINITY];
  for (let i = 0; i < (problem.clipSearch ? 80 : 1); i++) {
    const ratio = 1 - i / 100;
    const error = onGrid(problem, w, ratio, ratio).errors.reduce((sum, e) => sum + Math.abs(e) ** 2.4, 0);
    if (error < least) [best, least] = [ratio, error];
  }
  return best;
}

/** Adam (β 0.9 and 0.999) on the logits of a row, at a rate of 0.01; its loss counts in units of the first. */
export function learnedRow(problem: ClipProblem, row: number, steps: number) {
  const { columns, w, symmetric } = problem;
  const size = problem.group || columns;
  const first = Array.from({ length: columns / size }, (_, group) =>
    searched(
      problem,
      Array.from({ length: size }, (_, i) => w[row * columns + group * size + i]!),
    ),
  );
  const start = rowAt(problem, row, { upper: first, lower: first });
  let best = { ratios: [...first, ...(symmetric ? [] : first)], ...start };
  let now = start;
  const logits = best.ratios.map((ratio) => (ratio === 1 ? 4 : Math.min(4, -Math.log(1 / ratio - 1))));
  const [m, v] = [logits.map(() => 0), logits.map(() => 0)];
  for (let step = 1; step <= steps; step++) {
    const slopes = symmetric ? now.upper : [...now.upper, ...now.lower];
    slopes.forEach((slope, i) => {
      const ratio = sigma(logits[i]!);
      const g = (slope * ratio * (1 - ratio)) / start.loss;
      m[i] = 0.9 * m[i]! + 0.1 * g;
      v[i] = 0.999 * v[i]! + 0.001 * g * g;
      logits[i]! -= (0.01 * (m[i]! / (1 - 0.9 ** step))) / (Math.sqrt(v[i]! / (1 - 0.999 ** step)) + 1e-8);
    });
    const ratios = logits.map(sigma);
    const [upper, lower] = [ratios.slice(0, first.length), ratios.slice(-first.length)];
    now = rowAt(problem, row, { upper, lower });
    if (now.loss < best.loss) best = { ratios, ...now };
  }
  return { ...best, start };
}
