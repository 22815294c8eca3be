import type { OpDefinition, Value } from '../graph.ts';
import { maximum, minimum } from '../ops/elementwise.ts';
import { cast, toReal } from '../ops/shape.ts';
import { CachedAttention, type PastTokens } from './cached-attention.ts';
import type { CausalMask } from './causal-attention.ts';

/** The largest half. What is beyond it becomes it: an infinite key or value would make a whole row NaN. */
const LARGEST_HALF = 65504;

/**
 * CachedAttention over a cache of IEEE halves: q [..., rows·n, h], the new tokens' k and v [..., rows, h], halves
 * [..., capacity, h] of earlier tokens and their number, int64 [1]. Results: o [..., rows·n, h], and k and v as halves,
 * which attention reads too, so that a token sees the same of another in whatever pieces a text comes.
 */
export const HalfAttention: OpDefinition = {
  name: 'HalfAttention',
  domain: 'spinquant',
  infer: ([q, k, v]) => [
    { dtype: q!.dtype, dims: q!.dims },
    { dtype: 'float16', dims: k!.dims },
    { dtype: 'float16', dims: v!.dims },
  ],
  compose(inputs, attributes) {
    const [q, k, v, pastKeys, pastValues, length] = inputs as [Value, Value, Value, Value, Value, Value];
    const own = [k, v].map(rounded) as [Value, Value];
    const numbers = [...own, pastKeys, pastValues].map(toReal);
    const [mixed] = CachedAttention.compose!([q, ...numbers, length], attributes);
    return [mixed!, ...own];
  },
};

/** The nearest halves. */
function rounded(x: Value): Value {
  const { graph } = x;
  return cast(minimum(maximum(x, graph.scalar(-LARGEST_HALF)), graph.scalar(LARGEST_HALF)), 'float16');
}

/** Attention over halves gives o [..., rows·n, h] and the rows that the cache grows by. */
export interface HalfAttended {
  readonly mixed: Value;
  readonly keys: Value;
  readonly values: Value;
}

export function halfAttention(
  q: Value,
  k: Value,
  v: Value,
  past: PastTokens,
  mask: CausalMask,
): HalfAttended {
  const attributes = { scale: { float: mask.scale }, rows: mask.rows, window: mask.window };
  const inputs = [q, k, v, past.keys, past.values, past.length];
  const [mixed, keys, values] = q.graph.apply(HalfAttention, inputs, attributes) as [Value, Value, Value];
  return { mixed, keys, values };
}
