import { apply, floatAttribute, type OpDefinition, type Value } from '../graph.ts';
import { add, div, mul, sqrt, sub } from '../ops/elementwise.ts';
import { reduceMean } from '../ops/reduce.ts';

/** y = x / √(mean(x²) + ε) over the last axis, without gain. It commutes with every rotation of that axis. */
export const RmsNorm: OpDefinition = {
  name: 'RmsNorm',
  domain: 'spinquant',
  infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: inputs[0]!.dims }],
  gradient: (node, [dy]) => [apply(RmsNormGrad, [node.inputs[0]!, dy!], node.attributes)],
  compose(inputs, attributes) {
    const x = inputs[0]!;
    return [div(x, rms(x, floatAttribute(attributes, 'epsilon')))];
  },
};

/** With r = 1/√(mean(x²) + ε): ∂x = r·(∂y − x·(r²/n)·Σ(∂y∘x)). */
export const RmsNormGrad: OpDefinition = {
  name: 'RmsNormGrad',
  domain: 'spinquant',
  infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: inputs[0]!.dims }],
  compose(inputs, attributes) {
    const [x, dy] = inputs as [Value, Value];
    const root = rms(x, floatAttribute(attributes, 'epsilon'));
    const projection = div(reduceMean(mul(dy, x), [-1]), mul(root, root));
    return [div(sub(dy, mul(x, projection)), root)];
  },
};

function rms(x: Value, epsilon: number): Value {
  return sqrt(add(reduceMean(mul(x, x), [-1]), x.graph.scalar(epsilon)));
}

export function rmsNorm(x: Value, epsilon: number): Value {
  return apply(RmsNorm, [x], { epsilon: { float: epsilon } });
}
