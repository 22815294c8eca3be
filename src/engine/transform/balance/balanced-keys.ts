/** Balanced scales of keys against queries, before RoPE and R3. */
import { throwIfCancelled, UserError } from '../../../protocol/errors.ts';
import { mul, sub } from '../../graph/ops/elementwise.ts';
import { reduceSum } from '../../graph/ops/reduce.ts';
import { reshape, toReal } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import type { ModelConfig } from '../../model/config.ts';
import type { LayerTypes } from '../../network/layer-inputs.ts';
import { layerExpression } from '../../network/layer-programs.ts';
import type { LayerShape } from '../../network/layer-shape.ts';
import type { Network } from '../../network/network.ts';
import { balancedScales } from './balanced-scales.ts';
import { sharesOf } from './channel-sizes.ts';

/** @throws UserError where a norm of each head stands between weights and RoPE, across which nothing can be merged. */
export function requireFreeKeys({ qkNorm }: Pick<ModelConfig, 'qkNorm'>): void {
  if (!qkNorm) return;
  throw new UserError(
    'scaling/head-norms',
    'scaling.balance.keys is true, but the heads of this model have norms of queries and keys, across which scales cannot be merged.',
    'Set scaling.balance.keys to false.',
  );
}

/**
 * Scales [G·h] of each layer that multiply keys and divide the queries of their group. Behind R3 the error of a rounded
 * key k S H is even, in proportion to Σ E[k_p²] s_p², and queries q S⁻¹ let Σ E[q_p²] / s_p² of it into the scores: see
 * {@link balancedScales}. RoPE keeps the square of a pair p = (i, i + h/2), which has one scale. Keys count without what
 * is taken out before they are quantized, tokens alike, and queries by their squares.
 * @param network the plain network.
 */
export async function balancedKeys(
  cache: ProgramCache,
  network: Network,
  blocks: readonly Int32Array[],
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  const { kvHeads, headDim } = network.checkpoint.config;
  const size = (kvHeads * headDim) / 2;
  const sums = Array.from({ length: network.layers }, () => ({
    keys: new Float64Array(size),
    queries: new Float64Array(size),
  }));
  for (const ids of blocks) {
    let x = await network.embed(ids, signal);
    for (const [layer, sum] of sums.entries()) {
      throwIfCancelled(signal);
      const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence: ids.length });
      const program = await cache.get(QUERY_KEY_SQUARES, { shape, types });
      const { y, keys, queries } = await program.run({ ...tensors, x }, signal);
      addPairs(sum.keys, keys.data, headDim);
      addPairs(sum.queries, queries.data, headDim);
      x = y;
    }
  }
  return sums.map(({ keys, queries }) => ofBoth(balancedScales(keys, queries, headDim / 2), headDim));
}

/** Adds numbers of channels [G·h] of both channels of each pair to those of pairs [G·h/2]. */
function addPairs(sums: Float64Array, numbers: Float32Array, headDim: number): void {
  const half = headDim / 2;
  for (const [i, value] of numbers.entries()) sums[Math.floor(i / headDim) * half + (i % half)]! += value;
}

/** Scales of pairs [G·h/2] for both of their channels [G·h]. */
function ofBoth(scales: Float32Array, headDim: number): Float32Array {
  const half = headDim / 2;
  return Float32Array.from(
    { length: 2 * scales.length },
    (_, i) => scales[Math.floor(i / headDim) * half + (i % half)]!,
  );
}

interface Spec {
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/**
 * x → y of the plain layer; of keys without their mean, or else their bias, k²/‖k‖² [G·h] summed over tokens; and of
 * queries q² [G·h] summed over tokens and the heads of each group.
 */
const QUERY_KEY_SQUARES: ProgramKind<Spec, Record<'y' | 'keys' | 'queries', Reals>> = {
  name: 'balance-keys',
  build({ shape, types }) {
    const { heads, kvHeads, headDim } = shape.config;
    const { graph, y, kept, inputs } = layerExpression(shape, types, 'plain', false);
    const [q, k] = [kept.get('q'), kept.get('k')];
    if (!q || !k) throw new Error('a plain layer keeps its queries and keys');
    const taken = inputs.optional('keyMean') ?? inputs.bias('k');
    const rest = taken ? sub(k, reshape(toReal(taken), [1, kvHeads * headDim])) : k;
    const squares = reshape(reduceSum(mul(q, q), [0], false), [kvHeads, heads / kvHeads, headDim]);
    const queries = reshape(reduceSum(squares, [1], false), [kvHeads * headDim]);
    return { graph, outputs: { y, keys: sharesOf(rest, kvHeads, headDim), queries } };
  },
};
