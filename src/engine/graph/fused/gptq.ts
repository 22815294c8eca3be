import { apply, type OpDefinition, type Value } from '../graph.ts';

/**
 * Finds a lower triangular T with TᵀT = H + λI. Neither this nor {@link GptqRound} has a derivative or a composed form:
 * standard operators do not suit work column by column. Runtimes without our kernels loop outside of graphs.
 */
export const ReverseCholesky: OpDefinition = {
  name: 'ReverseCholesky',
  domain: 'spinquant',
  infer: ([h]) => [{ dtype: h!.dtype, dims: h!.dims }],
};

/** Codes int8 [m, n] of weights [m, n]. */
export const GptqRound: OpDefinition = {
  name: 'GptqRound',
  domain: 'spinquant',
  infer: ([w]) => [{ dtype: 'int8', dims: w!.dims }],
};

/**
 * Computes the factor T [n, n] that {@link gptqRound} needs, for symmetric positive semi-definite h [n, n]. T is lower
 * triangular, zeros above: TᵀT = H + λI with λ = damping · mean(diag H); T = I for H = 0. From last to first row,
 * T_jj² = (H + λI)_jj − Σ_{i>j} T_ij², at least λ, and T_jk = ((H + λI)_jk − Σ_{i>j} T_ij T_ik) / T_jj for k < j.
 * Only the lower triangle of h is read.
 */
export function reverseCholesky(h: Value, damping: number): Value {
  return apply(ReverseCholesky, [h], { damping: { float: damping } });
}

/**
 * Rounds the rows of w [m, n] one column after the other, each with the errors of those before it fed back. This is
 * GPTQ (Frantar et al. 2023), in the form of QuIP's theorem 1 (Chee et al. 2023). For j = 0 … n−1, with e = w − q:
 * w'_j = w_j + Σ_{k<j} e_k T_jk / T_jj, c_j = clamp(rne(w'_j / s) + z, −2^(bits−1), 2^(bits−1) − 1), q_j = s·(c_j − z).
 * @param t [n, n] of {@link reverseCholesky}.
 * @param scale [m, groups], each for n / groups consecutive columns. @param zero [m, groups], whole numbers.
 * @param bits 2 … 8.
 * @param order int64 [n], the columns of w in the order in which they are rounded, which is that of t; null for their own.
 * @returns c, int8 [m, n].
 */
export function gptqRound(
  w: Value,
  t: Value,
  scale: Value,
  zero: Value,
  bits: number,
  order: Value | null = null,
): Value {
  return apply(GptqRound, [w, t, scale, zero, ...(order ? [order] : [])], { bits });
}
