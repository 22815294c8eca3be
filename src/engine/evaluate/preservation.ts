import type { PreservationEvent } from '../../protocol/events.ts';
import type { Network } from '../network/network.ts';
import { sequenceLogits } from './perplexity.ts';

const FLOAT32_EPSILON = 2 ** -23;
/** Tokens that the two networks are compared on. */
export const COMPARED_TOKENS = 128;
/** Rounded operations in a row per layer: two norms, seven products, softmax, two sums. */
const OPERATIONS_PER_LAYER = 12;

/**
 * Compares full-precision logits before and after a change that must not alter the network's function.
 *
 * Rotations change the order of float32 rounding only. Each of the ~12 operations of a layer adds a relative error of
 * about ε·√d (random accumulation over d terms), and errors of layers add up along the residual; four times that is
 * the tolerance.
 */
export async function comparePreservation(
  before: Network,
  after: Network,
  ids: Int32Array,
  signal?: AbortSignal,
): Promise<Pick<PreservationEvent, 'maxLogitDifference' | 'relative' | 'tolerance'>> {
  const some = ids.subarray(0, COMPARED_TOKENS);
  const expected = await sequenceLogits(before, some, signal);
  const found = await sequenceLogits(after, some, signal);
  let largest = 0;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]!));
    difference = Math.max(difference, Math.abs(expected[i]! - found[i]!));
  }
  const { hiddenSize, layers } = before.checkpoint.config;
  return {
    maxLogitDifference: difference,
    relative: difference / largest,
    tolerance: 4 * OPERATIONS_PER_LAYER * layers * Math.sqrt(hiddenSize) * FLOAT32_EPSILON,
  };
}
