import { elementCount } from '../../../protocol/tensor.ts';
import { apply, type Node, type OpDefinition, type Value } from '../graph.ts';
import { cast } from '../ops/shape.ts';

/** One thread converts smaller tensors as fast. */
const FEWEST_ELEMENTS = 2 ** 16;

/** Converts bfloat16 to float32, exactly, on all threads. */
export const Widen: OpDefinition = {
  name: 'Widen',
  domain: 'spinquant',
  infer: ([x]) => [{ dtype: 'float32', dims: x!.dims }],
  compose: ([x]) => [cast(x!, 'float32')],
};

/** Rewrites the conversion of a large tensor of bfloat16 to float32; null for others. */
export function widened({ op, outputs }: Node, [x]: readonly Value[]): Value[] | null {
  const isWidening = op.name === 'Cast' && x!.dtype === 'bfloat16' && outputs[0]!.dtype === 'float32';
  return isWidening && elementCount(x!.dims) >= FEWEST_ELEMENTS ? [apply(Widen, [x!])] : null;
}
