import type { Drift } from '../../calibration/drift.ts';
import { Graph } from '../../graph/graph.ts';
import { add } from '../../graph/ops/elementwise.ts';
import { gemm } from '../../graph/ops/matmul.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { inverseOrder, reorder } from './column-order.ts';
import { solveWithFactor } from './solve.ts';

/**
 * Weights that give the full-precision outputs on what the quantized network reads. Among all W', those with the least
 * Σ ‖W x − W' x̂‖² + λ ‖W − W'‖² are W + W M with M = D (H + λI)⁻¹, D = Σ (x − x̂) x̂ᵀ, H = Σ x̂ x̂ᵀ (Zhang et al. 2025,
 * Qronos, whose rounding of all columns but the first is GPTQ's of these weights; see {@link FirstColumn}).
 */
export class DriftedTarget {
  readonly #cache: ProgramCache;
  readonly #m: Reals;

  private constructor(cache: ProgramCache, m: Reals) {
    this.#cache = cache;
    this.#m = m;
  }

  /**
   * @param drift whose memory is used up. @param t factor of H + λI, its columns in this order.
   * @param order null for the order of the columns themselves.
   */
  static async of(
    cache: ProgramCache,
    drift: Drift,
    { t, order }: { readonly t: Float32Array; readonly order: Int32Array | null },
    signal?: AbortSignal,
  ): Promise<DriftedTarget> {
    const { sum, spare } = drift;
    if (order) reorder(sum.data, order);
    const m = await solveWithFactor(cache, sum, t, spare, signal);
    if (order) reorder(m.data, inverseOrder(order));
    return new DriftedTarget(cache, m);
  }

  /** W + W M [rows, n]. */
  async weights(w: Reals, signal?: AbortSignal): Promise<Reals> {
    const [rows, columns] = w.dims as [number, number];
    const program = await this.#cache.get(TARGET, { rows, columns });
    return (await program.run({ w, m: this.#m }, signal)).target;
  }
}

const TARGET: ProgramKind<{ readonly rows: number; readonly columns: number }, { readonly target: Reals }> = {
  name: 'drifted-target',
  build({ rows, columns }) {
    const graph = new Graph();
    const w = graph.input('w', [rows, columns]);
    return { graph, outputs: { target: add(w, gemm(w, graph.input('m', [columns, columns]))) } };
  },
};
