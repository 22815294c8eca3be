import { throwIfCancelled } from '../../protocol/errors.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import { reduceMean } from '../graph/ops/reduce.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../graph/program-cache.ts';
import { headNorm } from '../network/layer.ts';
import type { LayerTypes } from '../network/layer-inputs.ts';
import { layerExpression } from '../network/layer-programs.ts';
import type { LayerShape } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';

/** Tokens of the text whose keys are averaged: a mean over so many has settled. */
const AVERAGED_TOKENS = 8192;

interface KeyMeanSpec {
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/** x → y of the plain layer, and the mean over tokens [1, G·h] of its keys before RoPE, behind their norm and bias. */
const KEY_MEAN: ProgramKind<KeyMeanSpec, { y: Reals; mean: Reals }> = {
  name: 'key-mean',
  build({ shape, types }) {
    const { graph, y, kept, inputs } = layerExpression(shape, types, 'plain', false);
    const keys = kept.get('k');
    if (!keys) throw new Error('a plain layer keeps its keys');
    // The bias is in the product that is kept.
    const mean = reduceMean(headNorm(keys, inputs.optional('kNorm'), shape), [0]);
    return { graph, outputs: { y, mean }, precision: shape.precision };
  },
};

/**
 * The mean of the keys of each layer, before RoPE, at full precision. In many models it is most of what keys are.
 * @param network the plain one. @param blocks sequences of one length.
 * @returns float32 [1, G·h] by layer, in the channels of the checkpoint.
 */
export async function keyMeans(
  cache: ProgramCache,
  network: Network,
  blocks: readonly Int32Array[],
  signal?: AbortSignal,
): Promise<HostTensor<Float32Array>[]> {
  const length = blocks[0]?.length ?? 1;
  const seen = blocks.slice(0, Math.max(1, Math.floor(AVERAGED_TOKENS / length)));
  const sums: Float64Array[] = [];
  for (const ids of seen) {
    let x = await network.embed(ids, signal);
    for (let layer = 0; layer < network.layers; layer++) {
      throwIfCancelled(signal);
      const { shape, types, tensors } = network.layerContext(layer, { batch: 1, sequence: ids.length });
      const { y, mean } = await (await cache.get(KEY_MEAN, { shape, types })).run({ ...tensors, x }, signal);
      const sum = sums[layer] ?? new Float64Array(mean.data.length);
      sums[layer] = sum;
      for (const [channel, value] of mean.data.entries()) sum[channel]! += value;
      x = y;
    }
  }
  return sums.map((sum) =>
    float32(
      [1, sum.length],
      Float32Array.from(sum, (value) => value / seen.length),
    ),
  );
}
