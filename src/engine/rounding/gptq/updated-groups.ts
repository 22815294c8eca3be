import { float32 } from '../../../protocol/tensor.ts';
import { quantizeWithRatio, type WeightQuantizer, weightGrid } from '../../graph/fused/weight-quantize.ts';
import { Graph } from '../../graph/graph.ts';
import { add } from '../../graph/ops/elementwise.ts';
import { gemm } from '../../graph/ops/matmul.ts';
import { reshape } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { type GridMatrix, multiples } from '../../network/rounded-weights.ts';
import { columnsOf, rowsOf } from './matrix-parts.ts';
import type { RoundingKernels } from './rounding-kernels.ts';
import { inverseOfLower } from './triangular.ts';

/**
 * GPTQ with the scales of each group of columns taken when it begins, from the weights as all errors before have moved
 * them. With F = E_{<a} T_{g,<a}ᵀ of the columns g = a … b−1, these are
 *   W'_g = W_g + F T_gg⁻ᵀ,
 * and rounding W'_g with T_gg alone gives the codes that rounding W_g with all of T does: what is fed back inside the
 * group takes up the difference. Scales are never stale, as they are inside the blocks of the reference.
 * @param w [rows, columns], at least two rows. @param t [columns, columns], lower triangular.
 */
export async function roundGroups(
  cache: ProgramCache,
  kernels: RoundingKernels,
  { w, t, quantizer }: { readonly w: Reals; readonly t: Float32Array; readonly quantizer: WeightQuantizer },
  signal?: AbortSignal,
): Promise<GridMatrix> {
  const [rows, columns] = w.dims as [number, number];
  const size = quantizer.group;
  const groups = columns / size;
  const codes = new Int8Array(rows * columns);
  const [scale, zero] = [new Float32Array(rows * groups), new Float32Array(rows * groups)];
  const begin = await cache.get(BEGIN_GROUP, { rows, size, quantizer });
  const feed = await cache.get(FEED_FORWARD, { rows, columns, size });
  let fed: Reals = float32([rows, columns], new Float32Array(rows * columns));
  for (let group = 0; group < groups; group++) {
    const from = group * size;
    const own = columnsOf(w, from, size);
    const factor = columnsOf(rowsOf(t, columns, from, size), from, size);
    const inverse = float32([size, size], inverseOfLower(factor.data, size));
    const begun = await begin.run({ w: own, fed: columnsOf(fed, from, size), inverse }, signal);
    const grid = { scale: begun.scale.data, zero: begun.zero.data };
    const shape = { rows, columns: size, bits: quantizer.bits };
    const found = await kernels.round({ ...shape, w: begun.moved.data, ...grid }, factor.data, signal);
    put(codes, found, columns, from, size);
    put(scale, grid.scale, groups, group, 1);
    put(zero, grid.zero, groups, group, 1);
    if (group + 1 === groups) break;
    const errors = multiples({ rows, columns: size, codes: found, ...grid });
    for (let i = 0; i < errors.length; i++) errors[i] = own.data[i]! - errors[i]!;
    const reads = columnsOf(float32([columns, columns], t), from, size);
    fed = (await feed.run({ fed, errors: float32([rows, size], errors), reads }, signal)).next;
  }
  return { rows, columns, codes, scale, zero };
}

interface GroupSpec {
  readonly rows: number;
  readonly size: number;
  readonly quantizer: WeightQuantizer;
}

/** W_g, F [rows, size] and T_gg⁻¹ → W'_g, with scale and zero [1, rows] of its grid. */
const BEGIN_GROUP: ProgramKind<GroupSpec, Record<'moved' | 'scale' | 'zero', Reals>> = {
  name: 'gptq-begin-group',
  build({ rows, size, quantizer }) {
    const graph = new Graph();
    const [w, fed] = [graph.input('w', [rows, size]), graph.input('fed', [rows, size])];
    const moved = add(w, gemm(fed, graph.input('inverse', [size, size]), { transB: true }));
    // Rows side by side are the groups of one row: the range of a group need not hold 0, as that of a whole row does.
    const line = reshape(moved, [1, rows * size]);
    const [, ratio] = quantizeWithRatio(line, quantizer, null);
    return { graph, outputs: { moved, ...weightGrid(line, ratio, quantizer) } };
  },
};

/** Σ e_k T_jk [rows, columns] of the errors so far, and of a group's more: + E_g T_{:,g}ᵀ. */
const FEED_FORWARD: ProgramKind<
  { readonly rows: number; readonly columns: number; readonly size: number },
  { next: Reals }
> = {
  name: 'gptq-feed-forward',
  build({ rows, columns, size }) {
    const graph = new Graph();
    const more = gemm(graph.input('errors', [rows, size]), graph.input('reads', [columns, size]), {
      transB: true,
    });
    return { graph, outputs: { next: add(graph.input('fed', [rows, columns]), more) } };
  },
};

/** Puts a part [rows, count] into columns of a matrix. */
function put<T extends Int8Array | Float32Array>(
  matrix: T,
  part: T,
  columns: number,
  from: number,
  count: number,
): void {
  for (let row = 0; row < part.length / count; row++)
    matrix.set(part.subarray(row * count, (row + 1) * count), row * columns + from);
}
