import { applyHadamard, type HadamardPlan } from '../../src/engine/rotation/hadamard-plan.ts';

/**
 * Returns the transform as a matrix: M with z ↦ z·M, [n, n] float64, orthogonal.
 * Row i is the transform of the unit vector e_i, so M = I_{n/b} ⊗ (H_Kᵀ ⊗ H_{2^m}) / √b.
 */
export function hadamardMatrix(plan: HadamardPlan): Float64Array {
  const { n } = plan;
  const matrix = new Float64Array(n * n);
  for (let i = 0; i < n; i++) matrix[i * n + i] = 1;
  applyHadamard(plan, matrix);
  return matrix;
}
