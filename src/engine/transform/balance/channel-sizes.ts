/** How large the channels behind v_proj and up_proj are, and what reads them. */
import { throwIfCancelled } from '../../../protocol/errors.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { add, div, mul } from '../../graph/ops/elementwise.ts';
import { reduceSum } from '../../graph/ops/reduce.ts';
import { reshape, toReal } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { LayerInputs, type LayerTypes } from '../../network/layer-inputs.ts';
import { layerExpression } from '../../network/layer-programs.ts';
import type { LayerShape } from '../../network/layer-shape.ts';
import type { Network } from '../../network/network.ts';

/** Places whose channels are balanced. */
export type BalancedSeam = 'value-scale' | 'up-scale';
type Sizes = Readonly<Record<BalancedSeam, Float64Array>>;

/** Keeps a row of zeros away from division by zero. */
const TINY = 1e-30;

/**
 * One pass of the text through the full-precision network.
 * @param network the plain network.
 * @returns for each layer the mean share of each channel in the square of its row: [f] of what down_proj reads, and
 * [G·h] of values and mixed values, whose rows are heads.
 */
export async function activationShares(
  cache: ProgramCache,
  network: Network,
  blocks: readonly Int32Array[],
  signal?: AbortSignal,
): Promise<Sizes[]> {
  const { kvHeads, headDim, intermediateSize } = network.checkpoint.config;
  const sums = Array.from({ length: network.layers }, () => ({
    'value-scale': new Float64Array(kvHeads * headDim),
    'up-scale': new Float64Array(intermediateSize),
  }));
  for (const ids of blocks) {
    let x = await network.embed(ids, signal);
    for (const [layer, sum] of sums.entries()) {
      throwIfCancelled(signal);
      const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence: ids.length });
      const program = await cache.get(ACTIVATION_SHARES, { shape, types });
      const { y, ...shares } = await program.run({ ...tensors, x }, signal);
      for (const seam of ['value-scale', 'up-scale'] as const) accumulate(sum[seam], shares[seam].data);
      x = y;
    }
  }
  return sums;
}

/** Squares of the columns that read each channel: [f] of down_proj, and [G·h] of o_proj, its query heads together. */
export async function readerSquares(
  cache: ProgramCache,
  network: Network,
  layer: number,
  signal?: AbortSignal,
): Promise<Sizes> {
  const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence: 1 });
  const out = await (await cache.get(READER_SQUARES, { shape, types })).run(tensors, signal);
  return {
    'value-scale': Float64Array.from(out['value-scale'].data),
    'up-scale': Float64Array.from(out['up-scale'].data),
  };
}

function accumulate(sums: Float64Array, terms: Float32Array): void {
  for (let i = 0; i < sums.length; i++) sums[i]! += terms[i]!;
}

interface Spec {
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/** x → y of the plain layer, and the shares of channels, summed over the rows of a sequence. */
const ACTIVATION_SHARES: ProgramKind<Spec, { y: Reals } & Record<BalancedSeam, Reals>> = {
  name: 'balance-activations',
  build({ shape, types }) {
    const { kvHeads, headDim } = shape.config;
    const outputs: Partial<Record<string, Value>> = {};
    const { graph, y } = layerExpression(shape, types, 'plain', false, 'float32', (site, value) => {
      if (site === 'value' || site === 'o-input' || site === 'down-input') outputs[site] = value;
    });
    const { value, 'o-input': mixed, 'down-input': product } = outputs;
    if (!value || !mixed || !product) throw new Error('a layer has values and an input of down_proj');
    const ofHeads = (rows: Value): Value => sharesOf(rows, kvHeads, headDim);
    return {
      graph,
      outputs: {
        y,
        'value-scale': add(ofHeads(value), ofHeads(mixed)),
        'up-scale': sharesOf(product, 1, product.dim(1)),
      },
    };
  },
};

/** Rows [T, G·r·n] → x² / ‖x‖² of their parts of n channels, in the mean of the r parts of a group and the sum of T: [G·n]. */
export function sharesOf(rows: Value, groups: number, n: number): Value {
  const { graph } = rows;
  const parts = rows.dim(1) / (groups * n);
  const apart = reshape(rows, [rows.dim(0), groups, parts, n]);
  const squares = mul(apart, apart);
  const shares = div(squares, add(reduceSum(squares, [3]), graph.scalar(TINY)));
  const sum = reduceSum(shares, [0, 2], false);
  return mul(reshape(sum, [groups * n]), graph.scalar(1 / parts));
}

const READER_SQUARES: ProgramKind<Spec, Record<BalancedSeam, Reals>> = {
  name: 'balance-readers',
  build({ shape, types }) {
    const { kvHeads, headDim } = shape.config;
    const graph = new Graph();
    const inputs = new LayerInputs(graph, shape, types);
    const squares = (weight: Value): Value => {
      const w = toReal(weight);
      return reduceSum(mul(w, w), [0], false);
    };
    const ofO = squares(inputs.weight('o'));
    const parts = ofO.dim(0) / (kvHeads * headDim);
    const byGroup = reduceSum(reshape(ofO, [kvHeads, parts, headDim]), [1], false);
    return {
      graph,
      outputs: {
        'value-scale': reshape(byGroup, [kvHeads * headDim]),
        'up-scale': squares(inputs.weight('down')),
      },
    };
  },
};
