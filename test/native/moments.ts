/** Second moments of a layer's inputs, their reverse Cholesky factors, and how exact these must be. */
import { addon, ROUNDING, random } from './support.ts';

export const DAMPING = Math.fround(0.01);
/** Rounding of a number in double precision. */
const FINE = 2 ** -53;

/** XᵀX / samples of inputs that share a few causes and differ in size, rounded to float32. */
export function moments(n: number, samples: number, seed: number): Float32Array {
  const causes = Math.ceil(n / 4);
  const mixing = random(causes * n, seed);
  const h = new Float64Array(n * n);
  for (let sample = 0; sample < samples; sample++) {
    const cause = random(causes, seed + 7 * sample + 1);
    const own = random(n, seed + 7 * sample + 2, 0.2);
    const x = own.map((value, j) => {
      for (let c = 0; c < causes; c++) value += mixing[c * n + j]! * cause[c]!;
      return value * (1 + (j % 5));
    });
    for (let j = 0; j < n; j++) for (let k = 0; k <= j; k++) h[j * n + k]! += (x[j]! * x[k]!) / samples;
  }
  for (let j = 0; j < n; j++) for (let k = 0; k < j; k++) h[k * n + j] = h[j * n + k]!;
  return Float32Array.from(h);
}

export function factor(h: Float32Array, n: number, instructionSet: string, threads = 1): Float32Array {
  const t = new Float32Array(n * n).fill(Number.NaN);
  const inputs = [{ data: h, dims: [n, n] }];
  addon!.runOperator('ReverseCholesky', instructionSet, { damping: DAMPING }, inputs, [t], threads, 1);
  return t;
}

/** H + λI, and λ. */
export function damped(h: Float32Array, n: number): { a: Float64Array; shift: number } {
  const a = Float64Array.from(h);
  let trace = 0;
  for (let j = 0; j < n; j++) trace += a[j * n + j]!;
  const shift = trace === 0 ? 1 : (DAMPING * trace) / n;
  for (let j = 0; j < n; j++) a[j * n + j]! += shift;
  return { a, shift };
}

export interface Products {
  /** TᵀT, both triangles. */
  readonly product: Float64Array;
  /** By how much each element may be off: one rounding of each element of T, and sums in double precision. */
  readonly tolerance: Float64Array;
  /** Frobenius norm of the tolerances. */
  readonly total: number;
}

/**
 * T_jk = s / T_jj is rounded once, so that T_jk T_jj is s up to 2⁻²⁴ of it, and T_jj² is s up to twice that. A pivot
 * raised to λ may be off by more: H + E with what was allowed so far as E, and H's own rounding to float32, has pivots
 * of λ − ‖E‖ at least.
 */
export function productsOf(t: Float32Array, h: Float32Array, n: number): Products {
  const { shift } = damped(h, n);
  const [product, tolerance] = [new Float64Array(n * n), new Float64Array(n * n)];
  let squares = h.reduce((sum, value) => sum + value ** 2, 0) * ROUNDING ** 2;
  for (let j = n - 1; j >= 0; j--)
    for (let k = 0; k <= j; k++) {
      let [sum, size] = [0, 0];
      for (let i = j; i < n; i++) {
        const term = t[i * n + j]! * t[i * n + k]!;
        sum += term;
        size += Math.abs(term);
      }
      const last = t[j * n + j]! * Math.abs(t[j * n + k]!);
      // 1.001: what is rounded is s, not its rounded value, and the squares of roundings.
      let allowed = 1.001 * ROUNDING * last * (j === k ? 2 : 1) + 4 * (n + 4) * FINE * size;
      const raised = j === k && t[j * n + j]! <= Math.sqrt(shift) * (1 + 2 * ROUNDING);
      if (raised) allowed += Math.sqrt(squares);
      for (const at of new Set([j * n + k, k * n + j])) {
        product[at] = sum;
        tolerance[at] = allowed;
        squares += allowed ** 2;
      }
    }
  return { product, tolerance, total: Math.sqrt(squares) };
}
