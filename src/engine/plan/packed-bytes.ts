/** What a network takes in memory once its weights, keys and values are packed. */
import type { Quantization } from '../../config/index.ts';
import { LINEARS } from '../../protocol/block.ts';
import type { PackedBytes } from '../../protocol/comparison.ts';
import type { FileTensor } from '../../protocol/tensor.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import type { ModelConfig } from '../model/config.ts';

/** A scale has 16 bits, and so has a zero point. */
const NUMBER_BYTES = 2;
/** A key or value that is not quantized has 16 bits. */
const PLAIN_BITS = 16;

/** Numbers that share a scale, or a scale and a zero point. */
const gridBytes = (symmetric: boolean): number => (symmetric ? NUMBER_BYTES : 2 * NUMBER_BYTES);

/** Linear weights at the bits of the experiment, what is not quantized as it is in the files. */
export function packedBytes(checkpoint: Checkpoint, quantization: Quantization): PackedBytes {
  const { weights, keys, values } = quantization;
  const linear = Array.from({ length: checkpoint.config.layers }, (_, index) => {
    const layer = checkpoint.layer(index);
    return LINEARS.map((linear) => layer[linear]);
  }).flat();
  const saved = linear.map((tensor) => tensor.byteLength - weightBytes(tensor, weights));
  return {
    weights: checkpoint.sizeBytes - (weights.bits === 16 ? 0 : saved.reduce((sum, bytes) => sum + bytes, 0)),
    cachePerToken: cacheBytesOf(checkpoint.config, keys) + cacheBytesOf(checkpoint.config, values),
  };
}

function weightBytes({ dims }: FileTensor, { bits, groupSize, symmetric }: Quantization['weights']): number {
  const [rows = 0, columns = 0] = dims;
  const groups = rows * (groupSize === null ? 1 : Math.ceil(columns / groupSize));
  return Math.ceil((rows * columns * bits) / 8) + groups * gridBytes(symmetric);
}

/** Keys or values of one token in all layers; each head has a grid of its own. */
function cacheBytesOf(
  { layers, kvHeads, headDim }: ModelConfig,
  { bits, symmetric }: Quantization['keys'],
): number {
  const grid = bits === PLAIN_BITS ? 0 : gridBytes(symmetric);
  return layers * kvHeads * (Math.ceil((headDim * bits) / 8) + grid);
}
