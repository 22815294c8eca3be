import { Breath } from '../../runtime/breath.ts';
import { BLOCK, nearestE8, nearestE8P } from './e8p.ts';

/** Weights in the scale of the codebook, and what says how errors are made up for. */
export interface LatticeTask {
  /** W [rows, columns]; columns are whole blocks of eight. */
  readonly w: Float32Array;
  readonly rows: number;
  readonly columns: number;
  readonly bits: LatticeBits;
  /** Sweeps of coordinate descent after the feedback. */
  readonly sweeps: number;
  /** L [columns/8, columns, 8] of H = L D Lᵀ, a column of blocks after the other. */
  readonly feedback: Float32Array;
  /** H_{:,k} H_kk⁻¹ [columns/8, columns, 8], likewise. */
  readonly gain: Float32Array;
}

export type LatticeBits = 2 | 3 | 4;

/** Points of the codebooks in quarters [rows, columns]: what E8P gives, and the book of the residual; zeros at 2 bits. */
export interface LatticePoints {
  readonly first: Int8Array;
  readonly second: Int8Array;
}

const f = Math.fround;

/** The residual is enlarged so much before it is rounded in its turn (Tseng et al. 2024, residual vector quantization). */
export const RESIDUAL_SCALE: Readonly<Record<LatticeBits, number>> = { 2: 1, 3: f(2.04), 4: f(3.45) };

/**
 * LDLQ over blocks of eight columns, from the last to the first, then sweeps of coordinate descent (Tseng et al. 2024,
 * algorithms 1 and 4). With errors E = W − Ŵ and Q the nearest point of the codebook:
 *   Ŵ_k = Q(W_k + Σ_{j>k} E_j L_jk), then in each sweep, k from the last to the first,
 *   Ŵ_k = Q(W_k + Σ_{j≠k} E_j H_jk H_kk⁻¹), which is Ŵ_k + E H_{:,k} H_kk⁻¹.
 * Sums are in double precision, column after column, and all else in float32, so that the native operator LatticeRound
 * gives the same points to the last. A row that a sweep leaves alone is done.
 */
export async function latticeInLoops(task: LatticeTask, signal?: AbortSignal): Promise<LatticePoints> {
  const { rows, columns } = task;
  const points = { first: new Int8Array(rows * columns), second: new Int8Array(rows * columns) };
  const breath = new Breath(signal);
  for (let row = 0; row < rows; row++) {
    const errors = new Float32Array(columns);
    for (let sweep = 0; sweep <= task.sweeps; sweep++) {
      if (!passRow(task, row, sweep === 0, errors, points)) break;
      await breath.draw();
    }
  }
  return points;
}

const wanted = new Float32Array(BLOCK);
const point = new Float32Array(BLOCK);
const rest = new Float32Array(BLOCK);
const residual = new Float32Array(BLOCK);

/** @returns whether the row changed; the first pass always changes it. */
function passRow(
  task: LatticeTask,
  row: number,
  isFirst: boolean,
  errors: Float32Array,
  { first, second }: LatticePoints,
): boolean {
  const { w, columns, bits } = task;
  let isChanged = isFirst;
  for (let start = columns - BLOCK; start >= 0; start -= BLOCK) {
    const at = row * columns + start;
    const own = w.subarray(at, at + BLOCK);
    moveBlock(task, own, start, isFirst, errors);
    nearestE8P(wanted, point);
    if (bits > 2) addResidual(bits);
    for (let c = 0; c < BLOCK; c++) {
      first[at + c] = 4 * point[c]!;
      second[at + c] = bits > 2 ? 4 * residual[c]! : 0;
      const error = f(own[c]! - pointValue(point[c]!, residual[c]!, bits));
      isChanged ||= error !== errors[start + c];
      errors[start + c] = error;
    }
  }
  return isChanged;
}

/** What a block is wanted to be, by the errors of the others. */
function moveBlock(
  { columns, feedback, gain }: LatticeTask,
  own: Float32Array,
  start: number,
  isFirst: boolean,
  errors: Float32Array,
): void {
  const factors = (isFirst ? feedback : gain).subarray(start * columns, (start + BLOCK) * columns);
  for (let c = 0; c < BLOCK; c++) {
    let sum = 0;
    if (!isFirst) for (let j = 0; j < start; j++) sum += errors[j]! * factors[j * BLOCK + c]!;
    for (let j = start + BLOCK; j < columns; j++) sum += errors[j]! * factors[j * BLOCK + c]!;
    wanted[c] = own[c]! + sum;
  }
}

function addResidual(bits: LatticeBits): void {
  for (let c = 0; c < BLOCK; c++) rest[c] = f(wanted[c]! - point[c]!) * RESIDUAL_SCALE[bits];
  (bits === 4 ? nearestE8P : nearestE8)(rest, residual);
}

/** q₁ + q₂ / scale, as it is in float32. */
function pointValue(first: number, second: number, bits: LatticeBits): number {
  return bits === 2 ? first : f(first + f(second * f(1 / RESIDUAL_SCALE[bits])));
}

/** Ŵ [rows, columns] in the scale of the codebook. */
export function latticeValues({ first, second }: LatticePoints, bits: LatticeBits): Float32Array {
  return Float32Array.from(first, (quarters, i) => pointValue(quarters / 4, second[i]! / 4, bits));
}
