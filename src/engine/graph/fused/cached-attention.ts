import {
  type Attributes,
  apply,
  floatAttribute,
  intAttribute,
  type OpDefinition,
  type Value,
} from '../graph.ts';
import { add, and, div, exp, less, maximum, scale, sub, where } from '../ops/elementwise.ts';
import { matmul } from '../ops/matmul.ts';
import { reduceMax, reduceSum } from '../ops/reduce.ts';
import { reshape, toReal, transposeLast } from '../ops/shape.ts';
import { type CausalMask, MASKED } from './causal-attention.ts';

/** Keys and values [..., capacity, h] of earlier tokens, of which the first `length` (int64 [1]) are there. */
export interface PastTokens {
  readonly keys: Value;
  readonly values: Value;
  readonly length: Value;
}

/**
 * Computes o = softmax(scale·q kᵀ)·v for new tokens: q [..., rows·n, h], their own k and v [..., rows, h], then keys and
 * values [..., capacity, h] of earlier tokens and their number, int64 [1]. Row r is at position length + r and sees
 * those up to its own. The native kernels read what is there of the cache, and no more.
 */
export const CachedAttention: OpDefinition = {
  name: 'CachedAttention',
  domain: 'spinquant',
  infer: ([q]) => [{ dtype: q!.dtype, dims: q!.dims }],
  compose(inputs, attributes) {
    const [q, k, v, pastKeys, pastValues, length] = inputs as [Value, Value, Value, Value, Value, Value];
    const rows = intAttribute(attributes, 'rows');
    const scores = (keys: Value, visible: Value): Value => {
      const all = scale(matmul(q, transposeLast(keys)), floatAttribute(attributes, 'scale'));
      const split = reshape(all, [...q.dims.slice(0, -2), q.dim(-2) / rows, rows, keys.dim(-2)]);
      return reshape(where(visible, split, q.graph.scalar(MASKED)), all.dims);
    };
    const past = scores(pastKeys, pastVisible(toReal(length), pastKeys.dim(-2), attributes));
    const own = scores(k, ownVisible(q, attributes));
    // A row sees itself at least, so that the highest score is one of those seen.
    const highest = maximum(reduceMax(past, [-1]), reduceMax(own, [-1]));
    const [pastWeights, ownWeights] = [exp(sub(past, highest)), exp(sub(own, highest))];
    const total = add(reduceSum(pastWeights, [-1]), reduceSum(ownWeights, [-1]));
    return [div(add(matmul(pastWeights, pastValues), matmul(ownWeights, v)), total)];
  },
};

const windowOf = (attributes: Attributes): number =>
  intAttribute(attributes, 'window') || Number.POSITIVE_INFINITY;

/** Which of the cache's tokens a row sees [rows or 1, capacity]. */
function pastVisible(length: Value, capacity: number, attributes: Attributes): Value {
  const { graph } = length;
  const rows = intAttribute(attributes, 'rows');
  const position = graph.reals(
    [capacity],
    Array.from({ length: capacity }, (_, index) => index),
  );
  const there = less(position, length);
  const window = windowOf(attributes);
  if (window >= capacity + rows) return there;
  const before = graph.reals(
    [rows, 1],
    Array.from({ length: rows }, (_, row) => row - window),
  );
  return and(there, less(add(length, before), position));
}

/** Which of the new tokens a row sees [rows, rows]. */
function ownVisible({ graph }: Value, attributes: Attributes): Value {
  const rows = intAttribute(attributes, 'rows');
  const window = windowOf(attributes);
  const distances = Array.from({ length: rows * rows }, (_, i) => Math.floor(i / rows) - (i % rows));
  const seen = distances.map((distance) => (distance >= 0 && distance < window ? 1 : 0));
  return less(graph.scalar(0), graph.reals([rows, rows], seen));
}

/** @returns o [..., rows·n, h]. */
export function cachedAttention(q: Value, k: Value, v: Value, past: PastTokens, mask: CausalMask): Value {
  const attributes = { scale: { float: mask.scale }, rows: mask.rows, window: mask.window };
  return apply(CachedAttention, [q, k, v, past.keys, past.values, past.length], attributes);
}
