import {
  type Attributes,
  floatAttribute,
  intAttribute,
  type Node,
  type OpDefinition,
  type Value,
} from '../graph.ts';
import { add, exp, log, mul, scale, sub } from '../ops/elementwise.ts';
import { matmul } from '../ops/matmul.ts';
import { reduceMax, reduceSum } from '../ops/reduce.ts';
import { reshape, transposeLast } from '../ops/shape.ts';
import { unitsOf } from './row-codes.ts';

/** The scaling and masking of attention scores. */
export interface CausalMask {
  readonly scale: number;
  /** Query positions: row r of the second-last axis is at position r mod rows, aligned to the end of the keys. */
  readonly rows: number;
  /** Keys visible to a query, itself included (sliding-window attention); 0 for itself and all before it. */
  readonly window: number;
}

/** The value vanishes in exp and stays finite in float32. */
export const MASKED = -1e30;

/**
 * Computes o = softmax(scale·q kᵀ)·v over visible keys and lse = ln Σ e^score, for q [..., rows·n, h], k and v
 * [..., keys, h]. The n query heads of a key/value head are stacked along the rows. The native kernels keep scores in
 * the cache only.
 */
export const CausalAttention: OpDefinition = {
  name: 'CausalAttention',
  domain: 'spinquant',
  infer: ([q]) => [
    { dtype: q!.dtype, dims: q!.dims },
    { dtype: q!.dtype, dims: q!.dims.slice(0, -1) },
  ],
  gradient(node, [dO]) {
    const [output, lse] = node.outputs as readonly [Value, Value];
    return output.graph.apply(CausalAttentionGrad, [...node.inputs, output, lse, dO!], node.attributes);
  },
  compose(inputs, attributes) {
    const [q, k, v] = inputs as readonly [Value, Value, Value];
    const scores = maskedScores(q, k, attributes);
    const highest = reduceMax(scores, [-1]);
    const weights = exp(sub(scores, highest));
    const total = reduceSum(weights, [-1]);
    const lse = reshape(add(highest, log(total)), q.dims.slice(0, -1));
    return [matmul(exp(sub(scores, reshape(lse, highest.dims))), v), lse];
  },
};

/** With p = e^(s − lse), D = rowsum(∂o∘o): ∂s = p∘(∂o vᵀ − D), ∂q = scale·∂s k, ∂k = scale·∂sᵀ q, ∂v = pᵀ ∂o. */
export const CausalAttentionGrad: OpDefinition = {
  name: 'CausalAttentionGrad',
  domain: 'spinquant',
  infer: (inputs) => inputs.slice(0, 3).map(({ dtype, dims }) => ({ dtype, dims })),
  compose(inputs, attributes) {
    const [q, k, v, o, lse, dO] = inputs as readonly [Value, Value, Value, Value, Value, Value];
    const p = exp(sub(maskedScores(q, k, attributes), reshape(lse, [...lse.dims, 1])));
    const centred = sub(matmul(dO, transposeLast(v)), reduceSum(mul(dO, o), [-1]));
    const ds = scale(mul(p, centred), floatAttribute(attributes, 'scale'));
    return [matmul(ds, k), matmul(transposeLast(ds), q), matmul(transposeLast(p), dO)];
  },
};

/** Computes scale·q kᵀ [..., rows·n, keys], with very low values where masked. */
function maskedScores(q: Value, k: Value, attributes: Attributes): Value {
  const rows = intAttribute(attributes, 'rows');
  const keys = k.dim(-2);
  const scores = scale(matmul(q, transposeLast(k)), floatAttribute(attributes, 'scale'));
  const split = reshape(scores, [...q.dims.slice(0, -2), q.dim(-2) / rows, rows, keys]);
  return reshape(add(split, maskOf(q, rows, keys, attributes)), scores.dims);
}

function maskOf(s: Value, rows: number, keys: number, attributes: Attributes): Value {
  const window = intAttribute(attributes, 'window') || Number.POSITIVE_INFINITY;
  const mask = new Float64Array(rows * keys);
  for (let row = 0; row < rows; row++) {
    const position = row + keys - rows;
    for (let key = 0; key < keys; key++) {
      mask[row * keys + key] = key <= position && key > position - window ? 0 : MASKED;
    }
  }
  return s.graph.reals([rows, keys], mask);
}

/**
 * Puts the operator in products of bfloat16, so many per number; else null. Keys with units are exact in one.
 * @param ofScores those that a forward pass takes, which the scores of a backward pass take too: its probabilities are
 * shares of the forward pass's sum.
 */
export function attentionInTiles(
  { op, attributes }: Node,
  inputs: readonly Value[],
  pieces: 1 | 2,
  ofScores: 1 | 2,
): Value[] | null {
  if (op !== CausalAttention && op !== CausalAttentionGrad) return null;
  const units = unitsOf(inputs[1]!);
  const given = units ? [...inputs, units] : inputs;
  return inputs[0]!.graph.apply(op, given, { ...attributes, pieces, score_pieces: ofScores });
}

/** @returns o [..., rows·n, h] and lse [..., rows·n]. */
export function causalAttention(q: Value, k: Value, v: Value, mask: CausalMask): [Value, Value] {
  const attributes = { scale: { float: mask.scale }, rows: mask.rows, window: mask.window };
  return q.graph.apply(CausalAttention, [q, k, v], attributes) as [Value, Value];
}
