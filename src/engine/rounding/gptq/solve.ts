import { float32 } from '../../../protocol/tensor.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { sub } from '../../graph/ops/elementwise.ts';
import { gemm } from '../../graph/ops/matmul.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { columnsOf, rowsOf } from './matrix-parts.ts';
import { inverseOfLower } from './triangular.ts';

/** Columns that are solved for together. */
const BLOCK = 128;

/**
 * Y (TᵀT)⁻¹ for a lower triangular T: U T = Y, then Z Tᵀ = U.
 * @param y [m, n]; its memory may be used. @param t [n, n]. @param spare memory of Y's size.
 * @returns Z [m, n], in the memory of Y or in the spare one.
 */
export async function solveWithFactor(
  cache: ProgramCache,
  y: Reals,
  t: Float32Array,
  spare: Reals,
  signal?: AbortSignal,
): Promise<Reals> {
  const half = await solveTriangular(cache, { y, t, spare, transposed: false }, signal);
  const other = half === y ? spare : y;
  return solveTriangular(cache, { y: half, t, spare: other, transposed: true }, signal);
}

export interface TriangularTask {
  /** [m, n]; its memory may be used. */
  readonly y: Reals;
  /** [n, n]. */
  readonly t: Float32Array;
  /** Memory of Y's size. */
  readonly spare: Reals;
  readonly transposed: boolean;
}

/** Y T⁻¹ block by block from the last columns on, or Y T⁻ᵀ from the first; in the memory of Y or in the spare one. */
export async function solveTriangular(
  cache: ProgramCache,
  { y, t, spare, transposed }: TriangularTask,
  signal?: AbortSignal,
): Promise<Reals> {
  const n = y.dims[1] ?? 0;
  const blocks = Array.from({ length: Math.ceil(n / BLOCK) }, (_, block) => block * BLOCK);
  let [rest, next] = [y, spare];
  for (const start of transposed ? blocks : blocks.toReversed()) {
    rest = await solveBlock(cache, { rest, next, t, start, transposed }, signal);
    next = rest === y ? spare : y;
  }
  return rest;
}

interface BlockTask {
  /** What is left of the right side; columns that are solved hold the solution. */
  readonly rest: Reals;
  readonly next: Reals;
  readonly t: Float32Array;
  readonly start: number;
  readonly transposed: boolean;
}

async function solveBlock(
  cache: ProgramCache,
  { rest, next, t, start, transposed }: BlockTask,
  signal?: AbortSignal,
): Promise<Reals> {
  const [m, n] = rest.dims as [number, number];
  const size = Math.min(BLOCK, n - start);
  const rows = rowsOf(t, n, start, size);
  const reads = transposed ? columnsOf(float32([n, n], t), start, size) : rows;
  const inverse = float32([size, size], inverseOfLower(columnsOf(rows, start, size).data, size));
  const program = await cache.get(SOLVE_BLOCK, { m, n, size, transposed });
  const inputs = { rest, own: columnsOf(rest, start, size), inverse, reads };
  const { solved } = await program.run(inputs, signal, { next });
  for (let row = 0; row < m; row++)
    next.data.set(solved.data.subarray(row * size, (row + 1) * size), row * n + start);
  return next;
}

interface BlockSpec {
  readonly m: number;
  readonly n: number;
  readonly size: number;
  /** True where the other factor is Tᵀ. */
  readonly transposed: boolean;
}

/** X_b = Y_b T_bb⁻¹, and Y − X_b T_b: columns that are solved already are not read by what follows. */
const SOLVE_BLOCK: ProgramKind<BlockSpec, Record<'solved' | 'next', Reals>> = {
  name: 'solve-block',
  build({ m, n, size, transposed }) {
    const graph = new Graph();
    const [rest, own] = [graph.input('rest', [m, n]), graph.input('own', [m, size])];
    const transB = transposed;
    const solved = gemm(own, graph.input('inverse', [size, size]), { transB });
    const reads: Value = graph.input('reads', transposed ? [n, size] : [size, n]);
    return { graph, outputs: { solved, next: sub(rest, gemm(solved, reads, { transB })) } };
  },
};
