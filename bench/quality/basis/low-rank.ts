/** How near a change of basis is to the identity plus a matrix of low rank (ReSpinQuant, 2026). */
import { multiply, transpose } from '../../../src/engine/rotation/dense.ts';
import { polarProjection } from '../../../src/engine/rotation/orthogonal.ts';
import { type Eigen, symmetricEigen } from './symmetric-eigen.ts';

/** T = Rᵀ_in R_out takes rows from the basis of one reader to that of the next one. */
export interface Step {
  readonly n: number;
  /** [n, n], row-major. */
  readonly t: Float64Array;
  /** Of (T − I)(T − I)ᵀ = 2I − T − Tᵀ: squares of the singular values of T − I, and its left singular vectors. */
  readonly eigen: Eigen;
}

export function stepBetween(before: Float64Array, behind: Float64Array, n: number): Step {
  const t = multiply(transpose(before, n), behind, n);
  const gap = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) gap[i * n + j] = (i === j ? 2 : 0) - t[i * n + j]! - t[j * n + i]!;
  return { n, t, eigen: symmetricEigen(gap, n) };
}

/** Share of the squares of all singular values that the largest so many have. */
export function shareOfLargest({ eigen: { values } }: Step, rank: number): number {
  const sum = (some: Float64Array): number => some.reduce((a, b) => a + Math.max(0, b), 0);
  return sum(values.subarray(0, rank)) / sum(values);
}

/** The largest singular value of T − I, at most 2. */
export const normOf = ({ eigen }: Step): number => Math.sqrt(Math.max(0, eigen.values[0]!));

/** ‖T − I‖²_F / 2n: 0 for equal bases, 1 in the mean for unrelated ones. */
export const sizeOf = ({ n, eigen }: Step): number => eigen.values.reduce((a, b) => a + b, 0) / (2 * n);

/**
 * R_out that keeps the network's function where T is replaced by T̂ = I + Q(R̂ − I)Qᵀ, R̂ the rotation nearest to QᵀTQ
 * and Q the first `rank` left singular vectors of T − I.
 * @returns R_in T̂ [n, n].
 */
export function repaired(before: Float64Array, { n, t, eigen }: Step, rank: number): Float64Array {
  // Rows of `vectors` are columns of Q.
  const rows = eigen.vectors.subarray(0, rank * n);
  const turned = rowsTimes(rows, transpose(t, n), n);
  const inner = rowsTimes(rows, transposed(turned, rank, n), rank, n);
  const rotation = polarProjection(inner, rank);
  for (let i = 0; i < rank; i++) rotation[i * rank + i] = rotation[i * rank + i]! - 1;
  // R_in + (R_in Q)(R̂ − I)Qᵀ.
  const left = rowsTimes(before, transposed(rows, rank, n), rank);
  const added = rowsTimes(rowsTimes(left, rotation, rank), rows, n);
  return added.map((value, i) => value + before[i]!);
}

/** A row-major matrix times b [depth, columns], of as many rows as it has. */
function rowsTimes(
  a: Float64Array,
  b: Float64Array,
  columns: number,
  depth = b.length / columns,
): Float64Array {
  const rows = a.length / depth;
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++)
    for (let p = 0; p < depth; p++) {
      const factor = a[i * depth + p]!;
      for (let j = 0; j < columns; j++)
        out[i * columns + j] = out[i * columns + j]! + factor * b[p * columns + j]!;
    }
  return out;
}

function transposed(a: Float64Array, rows: number, columns: number): Float64Array {
  const out = new Float64Array(a.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = a[i * columns + j]!;
  return out;
}
