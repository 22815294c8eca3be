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
  /** The columns in the order in which they are rounded, which is that of T; absent for their own. */
  readonly order?: Int32Array | null;
}

/**
 * GPTQ's rounding in its LDL form (Frantar et al. 2023; Chee et al. 2023, theorem 1). With Tᵀ T = H + λI, T lower
 * triangular, column j is rounded to the nearest multiple of its scale at
 *   w_j + (Σ_{k<j} e_k T[j][k]) / T[j][j],   e_k = w_k − s (c_k − z),
 * which leaves the least of (W − Q)(H + λI)(W − Q)ᵀ that column j can still change. No inverse is formed, and rows are
 * independent of each other. Loops, for runtimes without the native operator GptqRound.
 * @returns codes c [rows, columns], −2^{bits−1} … 2^{bits−1}−1.
 */
export async function roundInLoops(
  weights: RowsToRound,
  t: Float32Array,
  signal?: AbortSignal,
): Promise<Int8Array> {
  const { rows, columns } = weights;
  const codes = new Int8Array(rows * columns);
  const errors = new Float64Array(columns);
  const breath = new Breath(signal);
  for (let row = 0; row < rows; row++) {
    roundRow(weights, t, row, errors, codes);
    await breath.draw();
  }
  return codes;
}

function roundRow(
  { w, rows, columns, bits, scale, zero, order }: RowsToRound,
  t: Float32Array,
  row: number,
  errors: Float64Array,
  codes: Int8Array,
): void {
  const groups = scale.length / rows;
  const [low, high] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  for (let j = 0; j < columns; j++) {
    const factors = t.subarray(j * columns, j * columns + j + 1);
    let fed = 0;
    for (let k = 0; k < j; k++) fed += errors[k]! * factors[k]!;
    const column = order ? order[j]! : j;
    const group = row * groups + Math.floor((column * groups) / columns);
    const [s, z] = [scale[group]!, zero[group]!];
    const original = w[row * columns + column]!;
    const moved = Math.fround(original + fed / factors[j]!);
    const wanted = roundHalfEven(Math.fround(moved / s)) + z;
    const code = Math.min(Math.max(wanted, low), high);
    codes[row * columns + column] = code;
    errors[j] = original - s * (code - z);
  }
}

/** To the nearest whole number, halves to even, as ONNX's Round does. */
function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
