import { elementCount } from '../../../protocol/tensor.ts';
import {
  type Attributes,
  apply,
  floatAttribute,
  intAttribute,
  type OpDefinition,
  type Value,
} from '../graph.ts';
import {
  abs,
  add,
  and,
  div,
  equal,
  less,
  maximum,
  minimum,
  mul,
  neg,
  round,
  scale,
  sub,
  where,
} from '../ops/elementwise.ts';
import { reduceMax, reduceMin, reduceSum } from '../ops/reduce.ts';
import { reshape } from '../ops/shape.ts';

/** A dynamic uniform quantizer over groups of the last axis. */
export interface ActivationQuantizer {
  /** 2 … 8; with 16, nothing is quantized. */
  readonly bits: number;
  readonly symmetric: boolean;
  /** True where the step of a symmetric grid is max|x|/(2^{b−1} − ½), and not max|x|/(2^{b−1} − 1). */
  readonly fullRange?: true;
  /** Elements that share a scale; 0 for the whole last axis (per token). */
  readonly group: number;
  /** Both ends of the range are multiplied by this. */
  readonly clipRatio: number;
  /** The lower end of an asymmetric grid is multiplied by this; by `clipRatio` where absent. */
  readonly lowerRatio?: number;
  /** True where the range is extended to include 0, so that the zero point can be stored. */
  readonly includeZero: boolean;
  /** True where the derivative also goes through the scale ({@link LiveFakeQuantize}); else the scale is constant. */
  readonly scaleGradient?: boolean;
}

/** By the straight-through estimator, the derivative is the identity everywhere; scale and zero point are detached. */
export const FakeQuantize: OpDefinition = {
  name: 'FakeQuantize',
  domain: 'spinquant',
  infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: inputs[0]!.dims }],
  gradient: (_node, [dy]) => [dy!],
  compose(inputs, attributes) {
    const x = inputs[0]!;
    const rows = groupRows(x, attributes);
    const { scale: s, multiples, constant } = onGrid(rows, attributes);
    const y = mul(s, multiples);
    return [reshape(constant ? where(constant, rows, y) : y, x.dims)];
  },
};

/**
 * This is the same operator, straight-through for the rounding only: y_i = x_i + s(x)·e_i with e_i = (y_i − x_i)/s held
 * fixed. The zero point drops out: it is added and subtracted. For values that saturate (clip ratio below 1), ∂y_i/∂x_i
 * could also be 0, with a separate term through s and z. Here they keep the identity, as in the detached form, and
 * their e_i counts.
 */
export const LiveFakeQuantize: OpDefinition = {
  ...FakeQuantize,
  gradient(node, [dy]) {
    const names = ['group', 'symmetric', 'include_zero'];
    const attributes = Object.fromEntries(names.map((name) => [name, intAttribute(node.attributes, name)]));
    return [apply(FakeQuantizeScaleGrad, [node.inputs[0]!, node.outputs[0]!, dy!], attributes)];
  },
};

/**
 * The inputs are x, y and ∂y. s is proportional to the range (hi − lo, or max|x|), so bits and clip ratio cancel. With
 * D = Σ ∂y·(y − x) of a group, D·∂s/s = D/range at the first element that is the upper end, and its negative at the
 * lower one. An end of the range that is the included 0 belongs to no element. Where all values are equal, only ∂y
 * remains.
 */
export const FakeQuantizeScaleGrad: OpDefinition = {
  name: 'FakeQuantizeScaleGrad',
  domain: 'spinquant',
  infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: inputs[0]!.dims }],
  compose(inputs, attributes) {
    const [x, y, dy] = inputs.map((input) => groupRows(input, attributes)) as [Value, Value, Value];
    const along = reduceSum(mul(dy, sub(y, x)), [-1]);
    const throughScale =
      intAttribute(attributes, 'symmetric') === 1
        ? symmetricScaleGradient(x, along)
        : asymmetricScaleGradient(x, along, intAttribute(attributes, 'include_zero') === 1);
    return [reshape(add(dy, throughScale), inputs[0]!.dims)];
  },
};

/** Makes one row per group. */
function groupRows(x: Value, attributes: Attributes): Value {
  const group = intAttribute(attributes, 'group') || x.dim(-1);
  return reshape(x, [elementCount(x.dims) / group, group]);
}

function symmetricScaleGradient(x: Value, along: Value): Value {
  const zero = x.graph.scalar(0);
  const sizes = abs(x);
  const range = reduceMax(sizes, [-1]);
  const slope = slopeOf(along, range);
  return where(firstEqual(sizes, range), where(less(x, zero), neg(slope), slope), zero);
}

function asymmetricScaleGradient(x: Value, along: Value, includeZero: boolean): Value {
  const zero = x.graph.scalar(0);
  const lo = reduceMin(x, [-1]);
  const hi = reduceMax(x, [-1]);
  let [atLo, atHi] = [firstEqual(x, lo), firstEqual(x, hi)];
  if (includeZero) [atLo, atHi] = [and(atLo, less(lo, zero)), and(atHi, less(zero, hi))];
  const range = includeZero ? sub(maximum(hi, zero), minimum(lo, zero)) : sub(hi, lo);
  const slope = slopeOf(along, range);
  return sub(where(atHi, slope, zero), where(atLo, slope, zero));
}

/** along / range; 0 where the range is 0. */
function slopeOf(along: Value, range: Value): Value {
  const zero = range.graph.scalar(0);
  const some = less(zero, range);
  return where(some, div(along, where(some, range, range.graph.scalar(1))), zero);
}

/** True where an element is the first of its row that equals the row's value [rows, 1]. */
function firstEqual(x: Value, value: Value): Value {
  const width = x.dim(-1);
  const index = x.graph.reals(
    [width],
    Array.from({ length: width }, (_, i) => i),
  );
  const candidates = where(equal(x, value), index, x.graph.scalar(width));
  return equal(index, reduceMin(candidates, [-1]));
}

/** Rows [rows, n] are scale [rows, 1] times whole numbers [rows, n]. */
export interface GridRows {
  readonly scale: Value;
  readonly multiples: Value;
  /** True for rows of one value, which stay as they are; [rows, 1]. */
  readonly constant: Value | null;
}

/** Puts rows on the grid that a quantizer's attributes describe. */
export function onGrid(rows: Value, attributes: Attributes): GridRows {
  const bits = intAttribute(attributes, 'bits');
  return intAttribute(attributes, 'symmetric') === 1
    ? symmetric(rows, bits, floatAttribute(attributes, 'clip_ratio'))
    : asymmetric(rows, attributes);
}

/** s = c·max|x|/(2^{b−1}−1); codes are −2^{b−1} … 2^{b−1}−1. */
function symmetric(x: Value, bits: number, clip: number): GridRows {
  const g = x.graph;
  const top = 2 ** (bits - 1) - 1;
  const range = reduceMax(abs(x), [-1]);
  const s = where(equal(range, g.scalar(0)), g.scalar(1), div(scale(range, clip), g.scalar(top)));
  const multiples = maximum(minimum(round(div(x, s)), g.scalar(top)), g.scalar(-top - 1));
  return { scale: s, multiples, constant: null };
}

/** The grid of rows [rows, n] with a zero point; all are [rows, 1]. */
export interface AsymmetricGrid {
  /** The ends of the range, clipped. */
  readonly lo: Value;
  readonly hi: Value;
  readonly scale: Value;
  readonly zero: Value;
  /** True for rows of one value. */
  readonly constant: Value;
}

/** s = (hi − lo)/(2^b − 1), z = round(−lo/s). */
export function asymmetricGrid(x: Value, attributes: Attributes): AsymmetricGrid {
  const g = x.graph;
  const top = 2 ** intAttribute(attributes, 'bits') - 1;
  const includeZero = intAttribute(attributes, 'include_zero') === 1;
  const zero = g.scalar(0);
  let lo = reduceMin(x, [-1]);
  let hi = reduceMax(x, [-1]);
  if (includeZero) [lo, hi] = [minimum(lo, zero), maximum(hi, zero)];
  [lo, hi] = cut(lo, hi, attributes);
  const empty = and(equal(lo, zero), equal(hi, zero));
  [lo, hi] = [where(empty, g.scalar(-1), lo), where(empty, g.scalar(1), hi)];
  const constant = equal(lo, hi);
  const s = where(constant, g.scalar(1), div(sub(hi, lo), g.scalar(top)));
  return { lo, hi, scale: s, zero: round(div(sub(zero, lo), s)), constant };
}

/** The ends of ranges, clipped. With two ratios an end beyond 0 has that of the other one: no range is turned round. */
function cut(lo: Value, hi: Value, attributes: Attributes): [Value, Value] {
  const clip = floatAttribute(attributes, 'clip_ratio');
  const [clippedLo, clippedHi] = [scale(lo, clip), scale(hi, clip)];
  if (attributes.lower_ratio === undefined) return [clippedLo, clippedHi];
  const lower = floatAttribute(attributes, 'lower_ratio');
  const zero = lo.graph.scalar(0);
  return [
    where(less(zero, lo), clippedLo, scale(lo, lower)),
    where(less(hi, zero), scale(hi, lower), clippedHi),
  ];
}

/** Codes q are 0 … 2^b−1, multiples q − z. Constant groups do not change. */
function asymmetric(x: Value, attributes: Attributes): GridRows {
  const { scale: s, zero: z, constant } = asymmetricGrid(x, attributes);
  return { scale: s, multiples: sub(codesFrom(x, s, z, intAttribute(attributes, 'bits')), z), constant };
}

/** Codes 0 … 2^b−1 of rows, round(x/s) + z. */
export function codesFrom(x: Value, s: Value, z: Value, bits: number): Value {
  const [low, high] = [x.graph.scalar(0), x.graph.scalar(2 ** bits - 1)];
  return maximum(minimum(add(round(div(x, s)), z), high), low);
}

/** Quantizes to the grid and back, per token or per group of the last axis. */
export function fakeQuantize(x: Value, quantizer: ActivationQuantizer): Value {
  if (quantizer.bits >= 16) return x;
  const group = quantizer.group === x.dim(-1) ? 0 : quantizer.group;
  if (quantizer.scaleGradient && quantizer.lowerRatio !== undefined)
    throw new Error('the gradient of a scale knows one clip ratio');
  if (group !== 0 && x.dim(-1) % group !== 0) throw new Error(`group ${group} does not divide ${x.dim(-1)}`);
  return apply(
    quantizer.scaleGradient ? LiveFakeQuantize : FakeQuantize,
    [x],
    quantizerAttributes(quantizer, group),
  );
}

/**
 * The step of a full range over that of the restricted one, (2^{b−1} − 1)/(2^{b−1} − ½): operators know the latter, and a
 * range that is clipped by this ratio has the former.
 */
export function rangeRatio({ bits, fullRange }: Pick<ActivationQuantizer, 'bits' | 'fullRange'>): number {
  const middle = 2 ** (bits - 1);
  return fullRange ? (middle - 1) / (middle - 0.5) : 1;
}

/** @param group elements that share a scale; 0 for the whole last axis. */
export function quantizerAttributes(quantizer: ActivationQuantizer, group: number): Attributes {
  const { clipRatio, lowerRatio = clipRatio } = quantizer;
  const hasTwo = !quantizer.symmetric && lowerRatio !== clipRatio;
  return {
    bits: quantizer.bits,
    symmetric: quantizer.symmetric ? 1 : 0,
    group,
    clip_ratio: { float: clipRatio * rangeRatio(quantizer) },
    ...(hasTwo && { lower_ratio: { float: lowerRatio } }),
    include_zero: quantizer.includeZero ? 1 : 0,
  };
}
