import { apply, type OpDefinition, type Value } from '../graph.ts';
import { add, mul, sigmoid, sub } from '../ops/elementwise.ts';

/** silu(gate)∘up with silu(x) = x·σ(x). */
export const SwiGlu: OpDefinition = {
  name: 'SwiGlu',
  domain: 'spinquant',
  infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: inputs[0]!.dims }],
  gradient: (node, [dy]) => dy!.graph.apply(SwiGluGrad, [...node.inputs, dy!]),
  compose(inputs) {
    const [gate, up] = inputs as [Value, Value];
    return [mul(mul(gate, sigmoid(gate)), up)];
  },
};

/** ∂gate = ∂y∘up∘σ(gate)(1 + gate(1 − σ(gate))), ∂up = ∂y∘silu(gate). */
export const SwiGluGrad: OpDefinition = {
  name: 'SwiGluGrad',
  domain: 'spinquant',
  infer: (inputs) => [inputs[0]!, inputs[1]!].map(({ dtype, dims }) => ({ dtype, dims })),
  compose(inputs) {
    const [gate, up, dy] = inputs as [Value, Value, Value];
    const one = gate.graph.scalar(1);
    const s = sigmoid(gate);
    const slope = mul(s, add(one, mul(gate, sub(one, s))));
    return [mul(mul(dy, up), slope), mul(dy, mul(gate, s))];
  },
};

export function swiGlu(gate: Value, up: Value): Value {
  return apply(SwiGlu, [gate, up]);
}
