import { apply, intAttribute, type OpDefinition, type Value } from '../graph.ts';
import { add, mul, sub } from '../ops/elementwise.ts';
import { concat, slice } from '../ops/shape.ts';

/**
 * Applies the rotary position embedding to x [..., S, h] with tables cos, sin [S, h/2]. Halves are paired (Hugging
 * Face): y₁ = x₁ cos − x₂ sin, y₂ = x₂ cos + x₁ sin.
 */
export const RotaryEmbedding: OpDefinition = {
  name: 'RotaryEmbedding',
  domain: 'spinquant',
  infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: inputs[0]!.dims }],
  // The map is a rotation: its transpose turns back by the same angle.
  gradient(node, [dy]) {
    const inverse = 1 - intAttribute(node.attributes, 'inverse');
    return [apply(RotaryEmbedding, [dy!, node.inputs[1]!, node.inputs[2]!], { inverse }), null, null];
  },
  compose(inputs, attributes) {
    const [x, cos, sin] = inputs as [Value, Value, Value];
    const axis = x.rank - 1;
    const half = x.dim(-1) / 2;
    const x1 = slice(x, axis, 0, half);
    const x2 = slice(x, axis, half, 2 * half);
    const [a, b] = [mul(x1, cos), mul(x2, sin)];
    const [c, d] = [mul(x2, cos), mul(x1, sin)];
    const inverse = intAttribute(attributes, 'inverse') === 1;
    return [concat(inverse ? [add(a, b), sub(c, d)] : [sub(a, b), add(c, d)], axis)];
  },
};

export function rotaryEmbedding(x: Value, cos: Value, sin: Value): Value {
  return apply(RotaryEmbedding, [x, cos, sin], { inverse: 0 });
}
