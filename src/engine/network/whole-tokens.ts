/** The first tokens of a text, whose keys and values are not rounded: attention reads them most (attention sinks). */
import type { Value } from '../graph/graph.ts';
import { add, less, where } from '../graph/ops/elementwise.ts';
import { concat, reshape, slice, toReal } from '../graph/ops/shape.ts';

/**
 * Rows [B, G, S, h] of a text, of which the first stay as they were.
 * @param count tokens. @param before number of tokens before these, int64 [1]; null where these are the first.
 */
export function withWholeTokens(rounded: Value, exact: Value, count: number, before: Value | null): Value {
  if (count === 0) return rounded;
  const sequence = rounded.dim(2);
  if (before) {
    const { graph } = rounded;
    const index = graph.reals(
      [1, 1, sequence, 1],
      Array.from({ length: sequence }, (_, i) => i),
    );
    const position = add(reshape(toReal(before), [1, 1, 1, 1]), index);
    return where(less(position, graph.scalar(count)), exact, rounded);
  }
  if (count >= sequence) return exact;
  return concat([slice(exact, 2, 0, count), slice(rounded, 2, count, sequence)], 2);
}
