import { elementCount } from '../../../protocol/tensor.ts';
import { apply, floatAttribute, intAttribute, type OpDefinition, type Value } from '../graph.ts';
import {
  abs,
  add,
  and,
  div,
  equal,
  maximum,
  minimum,
  mul,
  round,
  scale,
  sub,
  where,
} from '../ops/elementwise.ts';
import { reduceMax, reduceMin } from '../ops/reduce.ts';
import { reshape } from '../ops/shape.ts';

/** A dynamic uniform quantizer over groups of the last axis. */
export interface ActivationQuantizer {
  /** 2 … 8; 16 means that nothing is quantized. */
  readonly bits: number;
  readonly symmetric: boolean;
  /** Elements that share a scale; 0 for the whole last axis (per token). */
  readonly group: number;
  /** Factor on both ends of the range. */
  readonly clipRatio: number;
  /** Whether the range is made to include 0, so that the zero point is storable. */
  readonly includeZero: boolean;
}

/** Straight-through estimator: the derivative is the identity everywhere; scale and zero point are detached. */
const FakeQuantize: OpDefinition = {
  name: 'FakeQuantize',
  domain: 'spinquant',
  infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: inputs[0]!.dims }],
  gradient: (_node, [dy]) => [dy!],
  compose(inputs, attributes) {
    const x = inputs[0]!;
    const group = intAttribute(attributes, 'group') || x.dim(-1);
    const rows = reshape(x, [elementCount(x.dims) / group, group]);
    const bits = intAttribute(attributes, 'bits');
    const clip = floatAttribute(attributes, 'clip_ratio');
    const y =
      intAttribute(attributes, 'symmetric') === 1
        ? symmetric(rows, bits, clip)
        : asymmetric(rows, bits, clip, intAttribute(attributes, 'include_zero') === 1);
    return [reshape(y, x.dims)];
  },
};

/** s = c·max|x|/(2^{b−1}−1), codes −2^{b−1} … 2^{b−1}−1. */
function symmetric(x: Value, bits: number, clip: number): Value {
  const g = x.graph;
  const top = 2 ** (bits - 1) - 1;
  const range = reduceMax(abs(x), [-1]);
  const s = where(equal(range, g.scalar(0)), g.scalar(1), div(scale(range, clip), g.scalar(top)));
  return mul(s, maximum(minimum(round(div(x, s)), g.scalar(top)), g.scalar(-top - 1)));
}

/** s = (hi − lo)/(2^b − 1), z = round(−lo/s), codes 0 … 2^b−1, value s(q − z). A constant group is kept as it is. */
function asymmetric(x: Value, bits: number, clip: number, includeZero: boolean): Value {
  const g = x.graph;
  const zero = g.scalar(0);
  const top = g.scalar(2 ** bits - 1);
  let lo = reduceMin(x, [-1]);
  let hi = reduceMax(x, [-1]);
  if (includeZero) [lo, hi] = [minimum(lo, zero), maximum(hi, zero)];
  [lo, hi] = [scale(lo, clip), scale(hi, clip)];
  const empty = and(equal(lo, zero), equal(hi, zero));
  [lo, hi] = [where(empty, g.scalar(-1), lo), where(empty, g.scalar(1), hi)];
  const constant = equal(lo, hi);
  const s = where(constant, g.scalar(1), div(sub(hi, lo), top));
  const z = round(div(sub(zero, lo), s));
  const q = maximum(minimum(add(round(div(x, s)), z), top), zero);
  return where(constant, x, mul(s, sub(q, z)));
}

/** Quantize to the grid and back, per token or per group of the last axis. */
export function fakeQuantize(x: Value, quantizer: ActivationQuantizer): Value {
  if (quantizer.bits >= 16) return x;
  const group = quantizer.group === x.dim(-1) ? 0 : quantizer.group;
  if (group !== 0 && x.dim(-1) % group !== 0) throw new Error(`group ${group} does not divide ${x.dim(-1)}`);
  return apply(FakeQuantize, [x], {
    bits: quantizer.bits,
    symmetric: quantizer.symmetric ? 1 : 0,
    group,
    clip_ratio: { float: quantizer.clipRatio },
    include_zero: quantizer.includeZero ? 1 : 0,
  });
}
