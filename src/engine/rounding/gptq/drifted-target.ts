import type { DriftSums } from '../../calibration/drift.ts';
import { Graph } from '../../graph/graph.ts';
import { add } from '../../graph/ops/elementwise.ts';
import { gemm } from '../../graph/ops/matmul.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { inverseOrder, reorder, reorderColumns } from './column-order.ts';
import { solveWithFactor } from './solve.ts';

/**
 * Weights that give the full-precision outputs on what the quantized network reads. Among all W', those with the least
 * Σ ‖W x − W' x̂‖² + λ ‖W − W'‖² are W + W M with M = D (H + λI)⁻¹, D = Σ (x − x̂) x̂ᵀ, H = Σ x̂ x̂ᵀ (Zhang et al. 2025,
 * Qronos, whose rounding of all columns but the first is GPTQ's of these weights; see {@link FirstColumn}).
 *
 * A layer that writes to a residual r can also make up for what that has drifted before it: with the least
 * Σ ‖r + W x − r̂ − W' x̂‖² + λ ‖W − W'‖², they are W + W M + E (H + λI)⁻¹, E = Σ (r − r̂) x̂ᵀ (ours).
 */
export class DriftedTarget {
  readonly #cache: ProgramCache;
  readonly #m: Reals;
  /** E (H + λI)⁻¹ [rows, n]; null for none. */
  readonly #residual: Reals | null;

  private constructor(cache: ProgramCache, m: Reals, residual: Reals | null) {
    this.#cache = cache;
    this.#m = m;
    this.#residual = residual;
  }

  /**
   * @param drifts whose memory is used up. @param t factor of H + λI, its columns in this order.
   * @param order null for the order of the columns themselves.
   */
  static async of(
    cache: ProgramCache,
    { drift, residualDrift = null }: { readonly drift: DriftSums; readonly residualDrift?: DriftSums | null },
    { t, order }: { readonly t: Float32Array; readonly order: Int32Array | null },
    signal?: AbortSignal,
  ): Promise<DriftedTarget> {
    const { sum, spare } = drift;
    if (order) reorder(sum.data, order);
    const m = await solveWithFactor(cache, sum, t, spare, signal);
    if (order) reorder(m.data, inverseOrder(order));
    if (!residualDrift) return new DriftedTarget(cache, m, null);
    const e = residualDrift;
    if (order) reorderColumns(e.sum.data, order);
    const residual = await solveWithFactor(cache, e.sum, t, e.spare, signal);
    if (order) reorderColumns(residual.data, inverseOrder(order));
    return new DriftedTarget(cache, m, residual);
  }

  /** W + W M + E (H + λI)⁻¹ [rows, n]. */
  async weights(w: Reals, signal?: AbortSignal): Promise<Reals> {
    const [rows, columns] = w.dims as [number, number];
    const residual = this.#residual;
    const program = await this.#cache.get(TARGET, { rows, columns, residual: residual !== null });
    return (await program.run({ w, m: this.#m, ...(residual && { residual }) }, signal)).target;
  }
}

interface TargetSpec {
  readonly rows: number;
  readonly columns: number;
  readonly residual: boolean;
}

const TARGET: ProgramKind<TargetSpec, { readonly target: Reals }> = {
  name: 'drifted-target',
  build({ rows, columns, residual }) {
    const graph = new Graph();
    const w = graph.input('w', [rows, columns]);
    const drifted = add(w, gemm(w, graph.input('m', [columns, columns])));
    const target = residual ? add(drifted, graph.input('residual', [rows, columns])) : drifted;
    return { graph, outputs: { target } };
  },
};
