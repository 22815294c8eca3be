/** What was added to GPTQ, as its authors' programs have it without their blocks, in double precision. */
import type { RowsToRound } from '../../src/engine/rounding/gptq/round-in-loops.ts';
import { inverse } from './textbook.ts';

type Order = ArrayLike<number>;

/** Codes, and for each row the least distance of a value to where another code begins, in steps of its grid. */
export interface Rounded {
  readonly codes: Int8Array;
  readonly margins: Float64Array;
}

/** U, upper triangular, with UᵀU = A for a positive definite A [n, n]. */
export function upperFactor(a: Float64Array, n: number): Float64Array {
  const u = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = i; j < n; j++) {
      let sum = a[i * n + j]!;
      for (let k = 0; k < i; k++) sum -= u[k * n + i]! * u[k * n + j]!;
      u[i * n + j] = i === j ? Math.sqrt(sum) : sum / u[i * n + i]!;
    }
  return u;
}

/** A B [m, n] of A [m, k] and B [k, n]. */
export function times(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  [m, k, n]: readonly [number, number, number],
): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let p = 0; p < k; p++) for (let j = 0; j < n; j++) c[i * n + j]! += a[i * k + p]! * b[p * n + j]!;
  return c;
}

/** Rows and columns in an order. */
export function ordered(a: ArrayLike<number>, order: Order): Float64Array {
  const n = order.length;
  return Float64Array.from({ length: n * n }, (_, i) => a[order[Math.floor(i / n)]! * n + order[i % n]!]!);
}

export const ownOrder = (n: number): Int32Array => Int32Array.from({ length: n }, (_, j) => j);

/** Chooses codes, and remembers how close the closest choice was. */
export class Chooser {
  readonly codes: Int8Array;
  readonly margins: Float64Array;
  readonly #task: RowsToRound;

  constructor(task: RowsToRound) {
    this.#task = task;
    this.codes = new Int8Array(task.rows * task.columns);
    this.margins = new Float64Array(task.rows).fill(Infinity);
  }

  /** Rounds one value, and returns it rounded. */
  choose(row: number, column: number, value: number): number {
    const { rows, columns, bits, scale, zero } = this.#task;
    const [low, high] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
    const group = row * (scale.length / rows) + Math.floor((column * (scale.length / rows)) / columns);
    const [s, z] = [scale[group]!, zero[group]!];
    const position = value / s + z;
    const code = Math.min(Math.max(Math.round(position), low), high);
    const above = code < high ? Math.abs(code + 0.5 - position) : Infinity;
    const below = code > low ? Math.abs(position - code + 0.5) : Infinity;
    this.margins[row] = Math.min(this.margins[row]!, above, below);
    this.codes[row * columns + column] = code;
    return s * (code - z);
  }
}

export interface AsymmetricOptions {
  /** D = Σ (x − x̂) x̂ᵀ, and the share of its correction. */
  readonly drift?: ArrayLike<number>;
  readonly alpha?: number;
  readonly beta?: number;
  readonly order?: Order;
}

/**
 * GPTAQ and FOEM (GPTQModel's loop): with P = α triu(D Uᵀ, 1) U, column i of a row hands on (w − q − β (w − w⁰)) / U_ii times
 * row i of U, less w times row i of P; the next column is pulled back by β of how far it has moved.
 * @param h damped, in the columns' own order.
 */
export function asymmetric(
  task: RowsToRound,
  h: Float64Array,
  { drift, alpha = 0, beta = 0, order = ownOrder(task.columns) }: AsymmetricOptions,
): Rounded {
  const n = task.columns;
  const u = upperFactor(inverse(ordered(h, order), n), n);
  const turned = Float64Array.from(u, (_, i) => u[(i % n) * n + Math.floor(i / n)]!);
  const ahead = times(drift ? ordered(drift, order) : new Float64Array(n * n), turned, [n, n, n]);
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) ahead[i * n + j] = 0;
  const p = times(ahead, u, [n, n, n]).map((value) => alpha * value);
  const chooser = new Chooser(task);
  for (let row = 0; row < task.rows; row++) {
    const raw = Float64Array.from({ length: n }, (_, j) => task.w[row * n + order[j]!]!);
    const left = raw.slice();
    for (let i = 0; i < n; i++) {
      const w = left[i]!;
      const q = chooser.choose(row, order[i]!, w);
      const error = (w - q - beta * (w - raw[i]!)) / u[i * n + i]!;
      for (let j = i; j < n; j++) left[j]! -= error * u[i * n + j]! - w * p[i * n + j]!;
      if (i + 1 < n) left[i + 1]! -= beta * (left[i + 1]! - raw[i + 1]!);
    }
  }
  return chooser;
}

/**
 * Qronos as its paper has it: the first column, then the best of all others for it, then GPTQ's loop over these.
 * @param h not damped. @param d Σ (x − x̂) x̂ᵀ. @param lambda damping.
 */
export function qronos(
  task: RowsToRound,
  { h, d, lambda, order = ownOrder(task.columns) }: QronosTask,
): Rounded {
  const n = task.columns;
  const [seen, drifted] = [ordered(h, order), ordered(d, order)];
  const g = seen.map((value, i) => value + drifted[i]!);
  const plain = seen.map((value, i) => value + (i % (n + 1) === 0 ? lambda : 0));
  const m = n - 1;
  const rest = (a: Float64Array) =>
    Float64Array.from({ length: m * m }, (_, i) => a[(Math.floor(i / m) + 1) * n + (i % m) + 1]!);
  const solved = inverse(rest(plain), m);
  const u = upperFactor(solved, m);
  const chooser = new Chooser(task);
  for (let row = 0; row < task.rows; row++) {
    const w = Float64Array.from({ length: n }, (_, j) => task.w[row * n + order[j]!]!);
    let first = 0;
    for (let k = 0; k < n; k++) first += w[k]! * g[k * n]! - (k > 0 ? w[k]! * seen[k * n]! : 0);
    const q = chooser.choose(row, order[0]!, first / seen[0]!);
    const side = Float64Array.from({ length: m }, (_, j) => {
      let sum = -q * seen[j + 1]!;
      for (let k = 0; k < n; k++) sum += w[k]! * (g[k * n + j + 1]! + (k === j + 1 ? lambda : 0));
      return sum;
    });
    const left = times(side, solved, [1, m, m]);
    for (let i = 0; i < m; i++) {
      const error = (left[i]! - chooser.choose(row, order[i + 1]!, left[i]!)) / u[i * m + i]!;
      for (let j = i; j < m; j++) left[j]! -= error * u[i * m + j]!;
    }
  }
  return chooser;
}

interface QronosTask {
  readonly h: ArrayLike<number>;
  readonly d: ArrayLike<number>;
  readonly lambda: number;
  readonly order?: Order;
}

/** w A qᵀ of rows with n numbers. */
function form(w: ArrayLike<number>, a: ArrayLike<number>, q: ArrayLike<number>): number {
  const n = w.length;
  let total = 0;
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) total += w[i]! * a[i * n + j]! * q[j]!;
  return total;
}

/**
 * Σ |w x − q x̂|² + λ |w − q|² of a row but for what q does not change: q A qᵀ − 2 w (A + D) qᵀ, A = H + λI.
 * @param q of values, not of codes.
 */
export function outputLoss(
  w: ArrayLike<number>,
  q: ArrayLike<number>,
  a: Float64Array,
  d: ArrayLike<number>,
): number {
  const cross = a.map((value, i) => value + d[i]!);
  return form(q, a, q) - 2 * form(w, cross, q);
}

/** ‖v / a projected onto the ball of ℓ1 norm 1‖ times a, by sorting (Duchi et al. 2008). */
export function ontoBall(v: Float64Array, mass: number): Float64Array {
  const sizes = v.map(Math.abs).sort().reverse();
  if (sizes.reduce((sum, size) => sum + size, 0) <= mass) return v.slice();
  let [sum, threshold] = [0, 0];
  for (let k = 0; k < sizes.length; k++) {
    sum += sizes[k]!;
    if (sizes[k]! * (k + 1) > sum - mass) threshold = (sum - mass) / (k + 1);
  }
  return v.map((value) => Math.sign(value) * Math.max(Math.abs(value) - threshold, 0));
}
