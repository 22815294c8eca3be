/** Rows of heads as a product gives them, with what is done to them before they are used. */
import { type Attributes, intAttribute, type OpDefinition, type Value } from '../graph.ts';
import { reshape, transpose } from '../ops/shape.ts';
import { Hadamard } from './hadamard.ts';
import { RotaryEmbedding } from './rotary.ts';

/** Sequences, tokens of each, heads, and the channels of one. */
export interface HeadShape {
  readonly sequences: number;
  readonly tokens: number;
  readonly heads: number;
  readonly width: number;
}

/** The shape of x [sequences·tokens, heads·h]; null where attributes tell no `heads`. */
export function headShape(x: Value, attributes: Attributes): HeadShape | null {
  const heads = intAttribute(attributes, 'heads', 0);
  if (heads === 0) return null;
  const tokens = intAttribute(attributes, 'tokens');
  return { sequences: x.dim(0) / tokens, tokens, heads, width: x.dim(1) / heads };
}

/**
 * Heads [sequences, heads, tokens, h] of x [sequences·tokens, heads·h], or x itself where attributes tell no `heads`; with
 * RoPE where there are tables cos and sin, and then Hadamard where there is `block`.
 */
export function turnedHeads(
  [x, cos, sin, matrix]: readonly (Value | undefined)[],
  attributes: Attributes,
): Value {
  const shape = headShape(x!, attributes);
  const apart = shape
    ? transpose(reshape(x!, [shape.sequences, shape.tokens, shape.heads, shape.width]), [0, 2, 1, 3])
    : x!;
  const turned = cos && sin ? RotaryEmbedding.compose!([apart, cos, sin], { inverse: 0 })[0]! : apart;
  if (intAttribute(attributes, 'block', 0) === 0) return turned;
  return Hadamard.compose!(matrix ? [turned, matrix] : [turned], attributes)[0]!;
}

/**
 * Queries as attention takes them: [sequences, groups, heads/groups·tokens, h] of x [sequences·tokens, heads·h], with
 * RoPE by tables cos, sin [tokens, h/2], and Hadamard by its attributes and matrix where there is `block`.
 */
export const RotaryHeads: OpDefinition = {
  name: 'RotaryHeads',
  domain: 'spinquant',
  infer: ([x], attributes) => [{ dtype: x!.dtype, dims: queryDims(x!, attributes) }],
  compose: (inputs, attributes) => [
    reshape(turnedHeads(inputs, attributes), queryDims(inputs[0]!, attributes)),
  ],
};

function queryDims(x: Value, attributes: Attributes): number[] {
  const { sequences, tokens, heads, width } = headShape(x, attributes)!;
  const groups = intAttribute(attributes, 'groups');
  return [sequences, groups, (heads / groups) * tokens, width];
}
