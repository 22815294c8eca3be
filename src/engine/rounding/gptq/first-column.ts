import type { Drift } from '../../calibration/drift.ts';
import type { Reals } from '../../graph/program.ts';

/**
 * The column that Qronos (Zhang et al. 2025) rounds first. All others are as they were then, not yet moved for what has
 * drifted: it goes to w_1 + W D_{:,1} / H_11 and not to column 1 of the target W*. The rest of the paper's loop is GPTQ's
 * of W*. Both are one loop over weights that differ from W* by a matrix of rank one,
 *   W* + (w_1 + W D_{:,1} / H_11 − w*_1) u,   u_j = [(H + λI)⁻¹]_1j / [(H + λI)⁻¹]_11,
 * since what it feeds column j > 1 then is what the error of w*_1 does.
 */
export class FirstColumn {
  readonly #first: number;
  /** D_{:,1} / H_11 [n]; zeros for an input that was never seen. */
  readonly #moves: Float64Array;
  /** u [n] in the order of the columns themselves. */
  readonly #spread: Float64Array;

  private constructor(first: number, moves: Float64Array, spread: Float64Array) {
    this.#first = first;
    this.#moves = moves;
    this.#spread = spread;
  }

  /**
   * @param drift and second moments h [n, n] as they are summed. @param t factor of H + λI, its columns in this order.
   * @param order null for the order of the columns themselves.
   */
  static of(
    { sum }: Drift,
    h: Float32Array,
    { t, order }: { readonly t: Float32Array; readonly order: Int32Array | null },
  ): FirstColumn {
    const n = sum.dims[0] ?? 0;
    const first = order?.[0] ?? 0;
    const seen = h[first * n + first]!;
    const moves = Float64Array.from({ length: n }, (_, k) =>
      seen > 0 ? sum.data[k * n + first]! / seen : 0,
    );
    const ordered = new Float64Array(n);
    const spread = new Float64Array(n);
    for (let j = 0; j < n; j++) {
      let fed = 0;
      for (let k = 0; k < j; k++) fed += ordered[k]! * t[j * n + k]!;
      ordered[j] = j === 0 ? 1 : -fed / t[j * n + j]!;
      spread[order ? order[j]! : j] = ordered[j]!;
    }
    return new FirstColumn(first, moves, spread);
  }

  /** What GPTQ's loop rounds in place of the target. @param w, target [rows, n]. */
  start(w: Reals, target: Reals): Reals {
    const [rows, n] = target.dims as [number, number];
    const data = target.data.slice();
    for (let row = 0; row < rows; row++) {
      let wanted = w.data[row * n + this.#first]!;
      for (let k = 0; k < n; k++) wanted += w.data[row * n + k]! * this.#moves[k]!;
      const more = wanted - data[row * n + this.#first]!;
      for (let j = 0; j < n; j++) data[row * n + j]! += more * this.#spread[j]!;
    }
    return { ...target, data };
  }
}
