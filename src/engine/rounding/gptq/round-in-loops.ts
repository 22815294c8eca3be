import { Breath } from '../../runtime/breath.ts';

/** Weights of one linear layer and the grid that they are rounded to. */
export interface RowsToRound {
  /** W [rows, columns]. */
  readonly w: Float32Array;
  readonly rows: number;
  readonly columns: number;
  readonly bits: number;
  /** s and z [rows, groups] of values s (c − z); groups of consecutive columns share one. */
  readonly scale: Float32Array;
  readonly zero: Float32Array;
  /** The columns in the order in which they are rounded, which is that of T and R; absent for their own. */
  readonly order?: Int32Array | null;
  /** R [n, n] of GPTAQ, see {@link asymmetricFeedback}; absent for zeros. */
  readonly drift?: Float32Array | null;
  /** β of FOEM; absent for 0. */
  readonly beta?: number;
}

/**
 * GPTQ's rounding in its LDL form (Frantar et al. 2023; Chee et al. 2023, theorem 1). With Tᵀ T = H + λI, T lower
 * triangular, column j is rounded to the nearest multiple of its scale at
 *   w_j + (Σ_{k<j} e_k T[j][k]) / T[j][j],   e_k = w_k − s (c_k − z),
 * which leaves the least of (W − Q)(H + λI)(W − Q)ᵀ that column j can still change. No inverse is formed, and rows are
 * independent of each other. Loops, for runtimes without the native operator GptqRound.
 *
 * FOEM (Zheng et al. 2025) pulls each column back to w_j by a share β of what feedback f moved it, and takes β f_j off the
 * error that it hands on. In terms of T, with γ = 1 − β: e_k above is γ (w_k − q_k) − (1 − γ²) f_k.
 * GPTAQ (Li et al. 2025) adds γ Σ_{k<j} w'_k R[j][k] to the sum, w'_k = w_k + f_k.
 * @returns codes c [rows, columns], −2^{bits−1} … 2^{bits−1}−1.
 */
export async function roundInLoops(
  weights: RowsToRound,
  t: Float32Array,
  signal?: AbortSignal,
): Promise<Int8Array> {
  const { rows, columns } = weights;
  const codes = new Int8Array(rows * columns);
  const fed = { errors: new Float64Array(columns), latent: new Float64Array(columns) };
  const breath = new Breath(signal);
  for (let row = 0; row < rows; row++) {
    roundRow(weights, t, row, fed, codes);
    await breath.draw();
  }
  return codes;
}

/** What the columns so far hand on, in the order of T. */
interface Fed {
  readonly errors: Float64Array;
  readonly latent: Float64Array;
}

function roundRow(
  weights: RowsToRound,
  t: Float32Array,
  row: number,
  { errors, latent }: Fed,
  codes: Int8Array,
): void {
  const { w, columns, order, drift, beta = 0 } = weights;
  const keep = 1 - beta;
  for (let j = 0; j < columns; j++) {
    const factors = t.subarray(j * columns, j * columns + j + 1);
    let fed = 0;
    for (let k = 0; k < j; k++) fed += errors[k]! * factors[k]!;
    if (drift) for (let k = 0; k < j; k++) fed += latent[k]! * drift[j * columns + k]!;
    const moved = fed / factors[j]!;
    const column = order ? order[j]! : j;
    const original = w[row * columns + column]!;
    const rounded = roundedTo(weights, row, column, original + moved, codes);
    errors[j] = keep * (original - rounded) - (1 - keep * keep) * moved;
    latent[j] = keep * (original + moved);
  }
}

/** Keeps the code of the grid point nearest to a value, and returns that point. */
export function roundedTo(
  { rows, columns, bits, scale, zero }: RowsToRound,
  row: number,
  column: number,
  value: number,
  codes: Int8Array,
): number {
  const groups = scale.length / rows;
  const group = row * groups + Math.floor((column * groups) / columns);
  const [s, z] = [scale[group]!, zero[group]!];
  const wanted = roundHalfEven(Math.fround(Math.fround(value) / s)) + z;
  const code = Math.min(Math.max(wanted, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1);
  codes[row * columns + column] = code;
  return s * (code - z);
}

/** To the nearest whole number, halves to even, as ONNX's Round does. */
function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
