/**
 * Incoherence processing (Tseng et al. 2024, section 3): random signs and an orthogonal Hadamard transform on both sides
 * of a matrix, W̃ = M_mᵀ S_V W S_U M_n, so that its entries are nearly Gaussian.
 */
import { hadamard } from '../../graph/fused/hadamard.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { mul } from '../../graph/ops/elementwise.ts';
import { transpose } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';
import { planHadamard } from '../../rotation/hadamard-plan.ts';
import type { Rng } from '../../rotation/random.ts';
import { BLOCK } from './e8p.ts';

/** Signs [n], each ±1 with probability ½. */
export function drawSigns(n: number, rng: Rng): Float32Array {
  return Float32Array.from({ length: n }, () => rng.sign());
}

/**
 * Columns after whose transform whole blocks of eight are rounded. What is added is zero in weights and inputs, and
 * dropped afterwards: 172 inputs are rounded as 176.
 */
export function paddedColumns(columns: number): number {
  return Math.ceil(columns / BLOCK) * BLOCK;
}

/** A matrix [rows, columns] with zeros behind each row and below the last one, or without what is beyond. */
export function resized(
  data: Float32Array,
  [rows, columns]: readonly [number, number],
  [newRows, newColumns]: readonly [number, number],
): Float32Array {
  if (rows === newRows && columns === newColumns) return data;
  const result = new Float32Array(newRows * newColumns);
  const kept = Math.min(columns, newColumns);
  for (let row = 0; row < Math.min(rows, newRows); row++)
    result.set(data.subarray(row * columns, row * columns + kept), row * newColumns);
  return result;
}

interface TransformSpec {
  readonly rows: number;
  readonly columns: number;
  /** True takes the transform back. */
  readonly inverse: boolean;
}

/**
 * x [rows, columns] → M_rowsᵀ S x S' M_columns by signs `rowSigns` [1, rows] and `columnSigns` [1, columns], or back.
 * Where no Hadamard matrix serves a size as a whole, M is block-diagonal (`planHadamard`).
 */
export const TWO_SIDED: ProgramKind<TransformSpec, { y: Reals }> = {
  name: 'incoherence',
  build({ rows, columns, inverse }) {
    const graph = new Graph();
    const signs = (name: string, n: number): Value => graph.input(name, [1, n]);
    const side = (x: Value, n: number, s: Value): Value => {
      const plan = planHadamard(n);
      return inverse ? mul(hadamard(x, plan, true), s) : hadamard(mul(x, s), plan);
    };
    const x = graph.input('x', [rows, columns]);
    const half = transpose(side(x, columns, signs('columnSigns', columns)), [1, 0]);
    const y = transpose(side(half, rows, signs('rowSigns', rows)), [1, 0]);
    return { graph, outputs: { y } };
  },
};
