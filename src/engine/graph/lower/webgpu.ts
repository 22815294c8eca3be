/** Replaces operators without a kernel in ONNX Runtime's WebGPU provider: data would leave the device for them. */
import { apply, type Value } from '../graph.ts';
import { add, floor, less, scale, sub, where } from '../ops/elementwise.ts';
import { cast } from '../ops/shape.ts';
import type { Rewrite } from '../rebuild.ts';

/**
 * The graph's int64 inputs (token ids) have become int32, as the provider does not compare int64.
 * A rewritten node computes the same, except for the sign of a zero.
 */
export const forWebGpu: Rewrite = (node, inputs) => {
  switch (node.op.name) {
    case 'Round':
      return [roundToEven(inputs[0]!)];
    case 'Sign':
      return [signOf(inputs[0]!)];
    case 'Equal':
    case 'Less':
      return inputs.some(({ dtype }) => dtype === 'int64')
        ? [
            apply(
              node.op,
              inputs.map((input) => cast(input, 'int32')),
            ),
          ]
        : null;
    default:
      return null;
  }
};

/**
 * Returns the nearest integer exactly, ties to even. With f = ⌊x⌋: f below a half, f + 1 above, 2⌊(f + 1)/2⌋ on it.
 * The fraction x − f is exact wherever it decides. It is rounded for −1 < x < 0 only, and rounding reaches 1/2 from
 * x = −1/2 + 2⁻²⁵, where the even neighbour is also the nearest.
 */
function roundToEven(x: Value): Value {
  const g = x.graph;
  const below = floor(x);
  const fraction = sub(x, below);
  const above = add(below, g.scalar(1));
  const half = g.scalar(0.5);
  const even = scale(floor(scale(above, 0.5)), 2);
  return where(less(fraction, half), below, where(less(half, fraction), above, even));
}

function signOf(x: Value): Value {
  const g = x.graph;
  const zero = g.scalar(0);
  return where(less(zero, x), g.scalar(1), where(less(x, zero), g.scalar(-1), zero));
}
