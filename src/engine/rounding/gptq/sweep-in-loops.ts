import { Breath } from '../../runtime/breath.ts';
import { lambdaOf } from './damped-factor.ts';
import { type RowsToRound, roundedTo } from './round-in-loops.ts';

/** Rounded weights, and the loss that sweeps go down. */
export interface RowsToSweep extends Omit<RowsToRound, 'order' | 'drift' | 'beta'> {
  /** [rows, columns], where they begin. */
  readonly codes: Int8Array;
  /** Σ x xᵀ [columns, columns]. */
  readonly h: Float32Array;
  /** λ in units of mean(diag H). */
  readonly damping: number;
  readonly sweeps: number;
}

/**
 * Coordinate descent on (W − Q)(H + λI)(W − Q)ᵀ (as in QuIP#, Tseng et al. 2024): each sweep goes over the columns j as
 * they stand and puts q_j on the nearest multiple of its scale to
 *   q_j + ((W − Q)(H + λI))_j / (H + λI)_jj = w_j + Σ_{k≠j} e_k H_jk / (H_jj + λ),   e = w − q,
 * the least of the loss along column j: no step raises it. Loops, for runtimes without the native operator GptqSweep.
 * @returns codes [rows, columns].
 */
export async function sweepInLoops(weights: RowsToSweep, signal?: AbortSignal): Promise<Int8Array> {
  const { rows, columns, sweeps } = weights;
  const codes = weights.codes.slice();
  const shift = lambdaOf(weights.h, weights.damping);
  const errors = new Float64Array(columns);
  const breath = new Breath(signal);
  for (let row = 0; row < rows; row++) {
    fillErrors(weights, row, errors);
    for (let sweep = 0; sweep < sweeps; sweep++) {
      if (!sweepRow(weights, shift, row, errors, codes)) break;
      await breath.draw();
    }
  }
  return codes;
}

function fillErrors(
  { w, rows, columns, codes, scale, zero }: RowsToSweep,
  row: number,
  errors: Float64Array,
): void {
  const groups = scale.length / rows;
  for (let j = 0; j < columns; j++) {
    const group = row * groups + Math.floor((j * groups) / columns);
    errors[j] = w[row * columns + j]! - scale[group]! * (codes[row * columns + j]! - zero[group]!);
  }
}

/** Returns false where no code changed. */
function sweepRow(
  weights: RowsToSweep,
  shift: number,
  row: number,
  errors: Float64Array,
  codes: Int8Array,
): boolean {
  const { w, h, columns } = weights;
  let changed = false;
  for (let j = 0; j < columns; j++) {
    const moments = h.subarray(j * columns, (j + 1) * columns);
    let fed = -errors[j]! * moments[j]!;
    for (let k = 0; k < columns; k++) fed += errors[k]! * moments[k]!;
    const at = row * columns + j;
    const before = codes[at]!;
    errors[j] = w[at]! - roundedTo(weights, row, j, w[at]! + fed / (moments[j]! + shift), codes);
    changed ||= codes[at] !== before;
  }
  return changed;
}
