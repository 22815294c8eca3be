import type { OpDefinition, Value } from '../graph.ts';

/**
 * Points int8 [m, n], twice. It has neither a derivative nor a composed form: standard operators do not suit work block
 * by block. Runtimes without our kernels loop outside of graphs.
 */
export const LatticeRound: OpDefinition = {
  name: 'LatticeRound',
  domain: 'spinquant',
  infer: ([w]) => [
    { dtype: 'int8', dims: w!.dims },
    { dtype: 'int8', dims: w!.dims },
  ],
};

/**
 * Rounds the rows of w [m, n] to the codebooks of QuIP# (Tseng et al. 2024) in blocks of eight columns: LDLQ from the
 * last block to the first, then sweeps of coordinate descent, until one leaves a row alone.
 * With E = W − Ŵ: Ŵ_k = Q(W_k + Σ_{j>k} E_j L_jk), then Ŵ_k = Q(W_k + Σ_{j≠k} E_j G_jk).
 * @param feedback L [n/8, n, 8] of H = L D Lᵀ. @param gain G = H_{:,k} H_kk⁻¹ [n/8, n, 8].
 * @param bits 2: E8P; 3: E8P and the book of one bit; 4: E8P twice.
 * @returns points in quarters, int8 [m, n]: of E8P, and of the residual.
 */
export function latticeRound(
  { w, feedback, gain }: Readonly<Record<'w' | 'feedback' | 'gain', Value>>,
  bits: number,
  sweeps: number,
): Record<'first' | 'second', Value> {
  const [first, second] = w.graph.apply(LatticeRound, [w, feedback, gain], { bits, sweeps });
  return { first: first!, second: second! };
}
