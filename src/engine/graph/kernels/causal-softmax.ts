import {
  type Attributes,
  apply,
  floatAttribute,
  intAttribute,
  type OpDefinition,
  type Value,
} from '../graph.ts';
import { add, mul, scale, sub } from '../ops/elementwise.ts';
import { reduceSum, softmax } from '../ops/reduce.ts';
import { reshape } from '../ops/shape.ts';

/** How attention scores are masked. */
export interface CausalMask {
  /** Query positions: row r of the second-last axis stands at position r mod rows, aligned to the end of the keys. */
  readonly rows: number;
  /** Keys visible to a query, itself included; 0 for all before it (sliding-window attention otherwise). */
  readonly window: number;
}

/** Large enough to vanish in exp, small enough to stay finite in float32. */
const MASKED = -1e30;

/** P = softmax over visible keys of scale·S; S is [..., rows·n, keys]. */
const CausalSoftmax: OpDefinition = {
  name: 'CausalSoftmax',
  domain: 'spinquant',
  infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: inputs[0]!.dims }],
  // ∂S = scale · P∘(∂P − rowsum(P∘∂P))
  gradient: (node, [dy]) => [apply(CausalSoftmaxGrad, [node.outputs[0]!, dy!], node.attributes)],
  compose(inputs, attributes) {
    const s = inputs[0]!;
    const rows = intAttribute(attributes, 'rows');
    const keys = s.dim(-1);
    const repeats = s.dim(-2) / rows;
    const split = reshape(s, [...s.dims.slice(0, -2), repeats, rows, keys]);
    const masked = add(scale(split, floatAttribute(attributes, 'scale')), maskOf(s, rows, keys, attributes));
    return [reshape(softmax(masked), s.dims)];
  },
};

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

const CausalSoftmaxGrad: OpDefinition = {
  name: 'CausalSoftmaxGrad',
  domain: 'spinquant',
  infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: inputs[0]!.dims }],
  compose(inputs, attributes) {
    const [p, dp] = inputs as [Value, Value];
    const centred = sub(dp, reduceSum(mul(p, dp), [-1]));
    return [scale(mul(p, centred), floatAttribute(attributes, 'scale'))];
  },
};

export function causalSoftmax(scores: Value, factor: number, mask: CausalMask): Value {
  return apply(CausalSoftmax, [scores], { scale: { float: factor }, rows: mask.rows, window: mask.window });
}
