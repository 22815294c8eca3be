import { elementCount } from '../../protocol/tensor.ts';
import type { Precision } from '../graph/lower/tiles.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import { ChunkedLoss } from './chunked-loss.ts';
import type { NetworkMemory } from './memory-plan.ts';
import type { OutputLoss } from './output-loss.ts';
import { SlicedLoss } from './sliced-loss.ts';
import { WholeLoss } from './whole-loss.ts';

/**
 * The loss in parts of the tokens, or of the vocabulary where an output layer is too large to be held in float32. Without
 * derivatives it takes neither where an operator reads the output layer as it is stored.
 */
export function outputLoss(
  cache: ProgramCache,
  { lmHead }: Checkpoint,
  memory: NetworkMemory,
  precision?: Precision,
): OutputLoss {
  // A bfloat16 head that is multiplied as it is stored takes no memory of its own.
  const isConverted = !(lmHead.dtype === 'bfloat16' && cache.abilities.bfloat16Products);
  const bytes = isConverted ? elementCount(lmHead.dims) * Float32Array.BYTES_PER_ELEMENT : 0;
  const Loss = bytes <= memory.headBytes ? ChunkedLoss : SlicedLoss;
  const inParts = new Loss(cache, lmHead, memory.logitElements, precision);
  const { floatProducts, bfloat16Products } = cache.abilities;
  // Tiles, and rounded products, are faster than sums in float32.
  const isExact = precision === undefined || precision === 'float32';
  const isStored = lmHead.dtype === 'bfloat16' && floatProducts && !bfloat16Products;
  return isStored && isExact ? new WholeLoss(cache, lmHead, inParts) : inParts;
}
