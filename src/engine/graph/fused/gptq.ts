import { apply, type OpDefinition, type Value } from '../graph.ts';

/**
 * Finds a lower triangular T with TᵀT = H + λI. Neither this nor {@link GptqRound} or {@link GptqSweep} has a derivative or
 * a composed form: standard operators do not suit work column by column. Runtimes without our kernels loop outside of graphs.
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

/** Codes int8 [m, n] of weights [m, n] that have codes. */
export const GptqSweep: OpDefinition = {
  name: 'GptqSweep',
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

export interface GptqInputs {
  /** [m, n]. */
  readonly w: Value;
  /** [n, n] of {@link reverseCholesky}. */
  readonly t: Value;
  /** [m, groups], each for n / groups consecutive columns. */
  readonly scale: Value;
  /** [m, groups], whole numbers. */
  readonly zero: Value;
  /** int64 [n], the columns of w in the order in which they are rounded, which is that of t; null for their own. */
  readonly order?: Value | null;
  /** R [n, n] in that order, of which what is below the diagonal is read; goes with an order. */
  readonly drift?: Value | null;
}

/**
 * Rounds the rows of w [m, n] one column after the other, each with the errors of those before it fed back. This is
 * GPTQ (Frantar et al. 2023), in the form of QuIP's theorem 1 (Chee et al. 2023), with β = 0 and without R; with β it is
 * FOEM (Zheng et al. 2025), with R GPTAQ (Li et al. 2025). For j = 0 … n−1, with γ = 1 − β:
 * f_j = Σ_{k<j} (a_k T_jk + γ w'_k R_jk) / T_jj, w'_j = w_j + f_j, a_j = γ (w_j − q_j) − (1 − γ²) f_j,
 * c_j = clamp(rne(w'_j / s) + z, −2^(bits−1), 2^(bits−1) − 1), q_j = s·(c_j − z).
 * @param bits 2 … 8.
 * @returns c, int8 [m, n].
 */
export function gptqRound({ w, t, scale, zero, order, drift }: GptqInputs, bits: number, beta = 0): Value {
  if (drift && !order) throw new Error('R goes with an order');
  const more = [...(order ? [order] : []), ...(drift ? [drift] : [])];
  return apply(GptqRound, [w, t, scale, zero, ...more], { bits, ...(beta > 0 && { beta: { float: beta } }) });
}

export interface SweepInputs {
  readonly w: Value;
  /** [n, n], symmetric. */
  readonly h: Value;
  /** int8 [m, n]. */
  readonly codes: Value;
  readonly scale: Value;
  readonly zero: Value;
}

/**
 * Coordinate descent on (W − Q)(H + λI)(W − Q)ᵀ from codes on, λ as for {@link reverseCholesky}: in each sweep, for
 * j = 0 … n−1 with e = w − q of the codes as they are, c_j = clamp(rne((w_j + Σ_{k≠j} e_k H_jk / (H_jj + λ)) / s) + z, …).
 * @returns int8 [m, n].
 */
export function gptqSweep(
  { w, h, codes, scale, zero }: SweepInputs,
  { bits, sweeps, damping }: { readonly bits: number; readonly sweeps: number; readonly damping: number },
): Value {
  return apply(GptqSweep, [w, h, codes, scale, zero], { bits, sweeps, damping: { float: damping } });
}
