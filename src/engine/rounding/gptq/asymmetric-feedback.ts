import type { Drift } from '../../calibration/drift.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { reorder } from './column-order.ts';
import { solveTriangular } from './solve.ts';

/**
 * What GPTAQ (Li et al. 2025) feeds on beside errors: how far what is read has drifted from full precision. It adds w'_k P_kj
 * to each column j > k, w' being a weight as it is rounded, P = α · upper(D Uᵀ) U without its diagonal, Uᵀ U = (H + λI)⁻¹ and
 * D = Σ (x − x̂) x̂ᵀ. With U = T⁻ᵀ, and P times what hands errors on, this is Σ_{k<j} w'_k R[j][k] / T[j][j] with
 *   R = α · lower((D T⁻¹)ᵀ) without its diagonal:
 * one solution with T, and no inverse.
 * @param drift whose memory is used up. @param t factor of H + λI, its columns in this order.
 * @param order null for the order of the columns themselves.
 * @returns R [n, n] in that order, zeros on and above the diagonal.
 */
export async function asymmetricFeedback(
  cache: ProgramCache,
  { sum, spare }: Drift,
  { t, order }: { readonly t: Float32Array; readonly order: Int32Array | null },
  alpha: number,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const n = sum.dims[0] ?? 0;
  if (order) reorder(sum.data, order);
  const solved = await solveTriangular(cache, { y: sum, t, spare, transposed: false }, signal);
  const feedback = (solved === sum ? spare : sum).data;
  for (let j = 0; j < n; j++)
    for (let k = 0; k < n; k++) feedback[j * n + k] = k < j ? alpha * solved.data[k * n + j]! : 0;
  return feedback;
}
