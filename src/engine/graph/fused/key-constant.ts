import type { Value } from '../graph.ts';
import { add, mul, scale, sub } from '../ops/elementwise.ts';
import { concat, expand, reshape, slice } from '../ops/shape.ts';
import type { ConstantPart } from './packed-attention.ts';
import { rotaryEmbedding } from './rotary.ts';

/** Cosines and sines [positions, h/2]. */
export interface RotaryTables {
  readonly cos: Value;
  readonly sin: Value;
}

const halves = (x: Value): readonly [Value, Value] => {
  const [axis, half] = [x.rank - 1, x.dim(-1) / 2];
  return [slice(x, axis, 0, half), slice(x, axis, half, 2 * half)];
};

/**
 * The constant part of keys [B, G, S, h], RoPE_t(b) [1, G, S, h]: k less it is quantized.
 * @param b [G, h] before RoPE. @param tables of the S tokens.
 */
export function rotaryConstant(b: Value, keys: Value, { cos, sin }: RotaryTables): Value {
  const [, groups, tokens, width] = keys.dims as [number, number, number, number];
  const everywhere = expand(reshape(b, [1, groups, 1, width]), [1, groups, tokens, width]);
  return rotaryEmbedding(everywhere, cos, sin);
}

/**
 * The constant part adds this to the scores. With halves q₁, q₂ and b₁, b₂ of the channels that RoPE turns together,
 * q·RoPE_t(b) = (q₁b₁ + q₂b₂)·cos_t + (q₂b₁ − q₁b₂)·sin_t: one product of h numbers, with a table that all heads share.
 * @param queries [B, G, rows·n, h] after RoPE, before maps of heads. @param tables of all positions.
 * @param factor what scores are scaled with.
 */
export function constantPart(
  queries: Value,
  b: Value,
  { cos, sin }: RotaryTables,
  factor: number,
): ConstantPart {
  const [q1, q2] = halves(queries);
  const [b1, b2] = halves(reshape(b, [b.dim(0), 1, b.dim(1)]));
  const products = [add(mul(q1, b1), mul(q2, b2)), sub(mul(q2, b1), mul(q1, b2))];
  return { coefficients: scale(concat(products, queries.rank - 1), factor), table: concat([cos, sin], 1) };
}
