/**
 * Weights on grids whose ends are shortened by factors of their own, which can be learned: learnable weight clipping of
 * OmniQuant (Shao et al. 2024, eq. 2), for grids with and without a zero point.
 */
import { elementCount } from '../../protocol/tensor.ts';
import type { ActivationQuantizer } from '../graph/fused/fake-quantize.ts';
import type { WeightQuantizer } from '../graph/fused/weight-quantize.ts';
import { type Attributes, apply, intAttribute, type OpDefinition, type Value } from '../graph/graph.ts';
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
  round,
  scale,
  sub,
  where,
} from '../graph/ops/elementwise.ts';
import { reduceMax, reduceMin, reduceSum } from '../graph/ops/reduce.ts';
import { reshape } from '../graph/ops/shape.ts';

/** As for other grids: a range is not shorter, so that rows of zeros have a scale. */
const SMALLEST = 1e-5;

/** One grid for each row of w [rows, n]: the ends of its range, and how they are shortened. */
interface Range {
  readonly lo: Value;
  readonly hi: Value;
  /** True where the end is that of an element, rather than the 0 that is forced in. */
  readonly loIsElement: Value;
  readonly hiIsElement: Value;
}

/** Rows on their grid: Ŵ = s (codes − zero), and what the derivative needs. */
interface Steps {
  readonly s: Value;
  readonly zero: Value;
  readonly codes: Value;
  /** True for elements inside of the codes' range, before they are cut off. */
  readonly inside: Value;
  /** True for rows of one value, which stay as they are; null where no row can. */
  readonly constant: Value | null;
}

/**
 * w [out, in] and factors `upper`, `lower` [out, groups] → Q(w) [out, in].
 *
 * With a zero point: a = lower·min, b = upper·max, s = (b − a)/(2^b − 1), z = round(−a/s), and codes round(w/s) + z are cut
 * off at 0 and 2^b − 1. Without: s = max(upper·|max|, lower·|min|)/(2^{b−1} − 1), cut off at −2^{b−1} and 2^{b−1} − 1.
 *
 * The derivative takes both roundings straight through and goes on into w, the factors, and by the ends of the range
 * into the elements that are these (equal ones share it). Inside of the codes' range ∂Ŵ = ∂w + (Ŵ/s − w/s) ∂s;
 * outside Ŵ moves with s and z alone.
 */
const ClippedWeight: OpDefinition = {
  name: 'ClippedWeight',
  domain: 'spinquant',
  composedOnly: true,
  infer: ([w]) => [{ dtype: w!.dtype, dims: w!.dims }],
  compose([w, upper, lower], attributes) {
    const { rows, steps } = stepsOf(w!, upper!, lower!, attributes);
    const { s, zero, codes, constant } = steps;
    const rounded = mul(s, sub(codes, zero));
    return [reshape(constant ? where(constant, rows, rounded) : rounded, w!.dims)];
  },
  gradient(node, [dy]) {
    const [w, upper, lower] = node.inputs as [Value, Value, Value];
    const { rows, u, l, range, steps, isShortened } = stepsOf(w, upper, lower, node.attributes);
    const g = reshape(dy!, rows.dims);
    const isSymmetric = intAttribute(node.attributes, 'symmetric') === 1;
    const { dHi, dLo } = (isSymmetric ? symmetricEnds : asymmetricEnds)(
      { rows, g, u, l, range, steps },
      topOf(node.attributes),
    );
    const { loIsElement, hiIsElement } = range;
    const zero = w.graph.scalar(0);
    const through = where(steps.inside, g, zero);
    const direct = steps.constant ? where(steps.constant, g, through) : through;
    const dw = add(
      add(direct, atEnd(rows, range.hi, where(hiIsElement, mul(dHi, u), zero))),
      atEnd(rows, range.lo, where(loIsElement, mul(dLo, l), zero)),
    );
    const byFactor = (end: Value, derivative: Value): Value => {
      const moved = mul(derivative, end);
      return isShortened ? where(isShortened, moved, zero) : moved;
    };
    return [
      reshape(dw, w.dims),
      reshape(byFactor(range.hi, dHi), upper.dims),
      reshape(byFactor(range.lo, dLo), lower.dims),
    ];
  },
};

/** Rounds weights to fewer than 16 bits on grids with shortened ends. @param upper and lower factors [out, groups]. */
export function clippedWeight(w: Value, upper: Value, lower: Value, quantizer: WeightQuantizer): Value {
  return apply(ClippedWeight, [w, upper, lower], attributesOf(w, upper, quantizer));
}

/**
 * The same for rows of other numbers [rows, n], each with a grid of its own.
 * @param upper and lower factors [rows, 1].
 */
export function clippedRows(
  rows: Value,
  upper: Value,
  lower: Value,
  { bits, symmetric, includeZero }: Pick<ActivationQuantizer, 'bits' | 'symmetric' | 'includeZero'>,
): Value {
  const attributes = { bits, symmetric: symmetric ? 1 : 0, include_zero: includeZero ? 1 : 0 };
  return apply(ClippedWeight, [rows, upper, lower], attributes);
}

/**
 * The same as codes of a byte: Ŵ = s (c − z) with c in −2^{b−1} … 2^{b−1}−1.
 * @returns c, int-valued reals [out, in], s and z [out, groups].
 */
export function clippedCodes(
  w: Value,
  upper: Value,
  lower: Value,
  quantizer: WeightQuantizer,
): Record<'codes' | 'scale' | 'zero', Value> {
  const { steps, range } = stepsOf(w, upper, lower, attributesOf(w, upper, quantizer));
  const { s, zero, codes, constant } = steps;
  const g = w.graph;
  const half = g.scalar(quantizer.symmetric ? 0 : 2 ** (quantizer.bits - 1));
  // A row of one value is one step from zero.
  const one = (c: Value): Value => (constant ? where(constant, g.scalar(1), c) : c);
  const none = (z: Value): Value => (constant ? where(constant, g.scalar(0), z) : z);
  return {
    codes: reshape(sub(one(codes), half), w.dims),
    scale: reshape(constant ? where(constant, range.lo, s) : s, upper.dims),
    zero: reshape(sub(none(zero), half), upper.dims),
  };
}

/** Groups of a weight's row that have a grid each. */
export function gridsPerRow(columns: number, { group }: WeightQuantizer): number {
  return group === 0 ? 1 : columns / group;
}

/** As for weights rounded to nearest: whole rows have 0 in their range, groups need not. */
function attributesOf(w: Value, upper: Value, { bits, symmetric }: WeightQuantizer): Attributes {
  const isWhole = elementCount(upper.dims) === w.dim(0);
  return { bits, symmetric: symmetric ? 1 : 0, include_zero: isWhole ? 1 : 0 };
}

/** The largest code: of 0 … 2^b − 1, or of −2^{b−1} … 2^{b−1} − 1. */
function topOf(attributes: Attributes): number {
  const bits = intAttribute(attributes, 'bits');
  return intAttribute(attributes, 'symmetric') === 1 ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
}

function stepsOf(w: Value, upper: Value, lower: Value, attributes: Attributes) {
  const grids = elementCount(upper.dims);
  const rows = reshape(w, [grids, elementCount(w.dims) / grids]);
  const factors = { u: reshape(upper, [grids, 1]), l: reshape(lower, [grids, 1]) };
  const includesZero = intAttribute(attributes, 'include_zero') === 1;
  const range = rangeOf(rows, includesZero);
  const isSymmetric = intAttribute(attributes, 'symmetric') === 1;
  const isShortened = isSymmetric || includesZero ? null : staysApart(factors, range);
  const one = rows.graph.scalar(1);
  const used = (factor: Value): Value => (isShortened ? where(isShortened, factor, one) : factor);
  const [u, l] = [used(factors.u), used(factors.l)];
  const steps = (isSymmetric ? symmetricSteps : asymmetricSteps)(rows, u, l, range, topOf(attributes));
  return { rows, u, l, range, steps, isShortened };
}

/** True where shortened ends do not pass each other. In a range of one sign they may: then it stays whole. */
function staysApart({ u, l }: Readonly<Record<'u' | 'l', Value>>, { lo, hi }: Range): Value {
  return less(mul(l, lo), mul(u, hi));
}

function rangeOf(rows: Value, includeZero: boolean): Range {
  const g = rows.graph;
  const zero = g.scalar(0);
  const [lo, hi] = [reduceMin(rows, [1]), reduceMax(rows, [1])];
  if (!includeZero) {
    const always = equal(lo, lo);
    return { lo, hi, loIsElement: always, hiIsElement: always };
  }
  const [loIsElement, hiIsElement] = [less(lo, zero), less(zero, hi)];
  return { lo: minimum(lo, zero), hi: maximum(hi, zero), loIsElement, hiIsElement };
}

function symmetricSteps(rows: Value, u: Value, l: Value, { lo, hi }: Range, top: number): Steps {
  const g = rows.graph;
  const reach = maximum(maximum(mul(u, abs(hi)), mul(l, abs(lo))), g.scalar(SMALLEST));
  const s = div(reach, g.scalar(top));
  const nearest = round(div(rows, s));
  const codes = maximum(minimum(nearest, g.scalar(top)), g.scalar(-top - 1));
  return { s, zero: scale(s, 0), codes, inside: equal(codes, nearest), constant: null };
}

/** An empty row has the ends −1 and 1, as for other grids. */
function asymmetricSteps(rows: Value, u: Value, l: Value, { lo, hi }: Range, top: number): Steps {
  const g = rows.graph;
  const [a, b] = [mul(l, lo), mul(u, hi)];
  const none = g.scalar(0);
  const empty = and(equal(a, none), equal(b, none));
  const [from, to] = [where(empty, g.scalar(-1), a), where(empty, g.scalar(1), b)];
  const constant = equal(lo, hi);
  const isOne = where(constant, where(empty, g.scalar(0), g.scalar(1)), g.scalar(0));
  const one = less(none, isOne);
  const s = where(one, g.scalar(1), div(sub(to, from), g.scalar(top)));
  const zero = round(div(sub(none, from), s));
  const nearest = add(round(div(rows, s)), zero);
  const codes = maximum(minimum(nearest, g.scalar(top)), none);
  return { s, zero, codes, inside: equal(codes, nearest), constant: one };
}

interface Backward {
  readonly rows: Value;
  /** ∂loss/∂Ŵ, in rows. */
  readonly g: Value;
  readonly u: Value;
  readonly l: Value;
  readonly range: Range;
  readonly steps: Steps;
}

/** ∂loss by the shortened ends of the range [rows, 1]. */
interface Ends {
  readonly dHi: Value;
  readonly dLo: Value;
}

/** Only the end that reaches further decides s; of two that reach as far, the upper one. */
function symmetricEnds({ rows, g, u, l, range, steps }: Backward, top: number): Ends {
  const zero = rows.graph.scalar(0);
  const { s, codes, inside } = steps;
  const moved = where(inside, sub(codes, div(rows, s)), codes);
  const along = scale(reduceSum(mul(g, moved), [1]), 1 / top);
  const [above, below] = [mul(u, abs(range.hi)), mul(l, abs(range.lo))];
  const isFree = less(rows.graph.scalar(SMALLEST), maximum(above, below));
  const reach = where(isFree, along, zero);
  const isLower = less(above, below);
  // |hi| and |lo| grow with the end's own sign.
  const signed = (end: Value): Value => where(less(end, zero), scale(reach, -1), reach);
  return {
    dHi: where(isLower, zero, signed(range.hi)),
    dLo: where(isLower, signed(range.lo), zero),
  };
}

/** s = (b − a)/top and z = −a/s: outside, ∂Ŵ = (codes − zero − a/s) ∂s + ∂a. */
function asymmetricEnds({ rows, g, l, range, steps }: Backward, top: number): Ends {
  const none = rows.graph.scalar(0);
  const { s, zero, codes, inside, constant } = steps;
  const multiples = sub(codes, zero);
  const start = div(mul(l, range.lo), s);
  const moved = where(inside, sub(multiples, div(rows, s)), sub(multiples, start));
  const byScale = scale(reduceSum(mul(g, moved), [1]), 1 / top);
  const byStart = reduceSum(where(inside, none, g), [1]);
  const [dHi, dLo] = [byScale, sub(byStart, byScale)];
  return constant ? { dHi: where(constant, none, dHi), dLo: where(constant, none, dLo) } : { dHi, dLo };
}

/** The derivative of an end of the range [rows, 1] on the elements that are that end. */
function atEnd(rows: Value, end: Value, derivative: Value): Value {
  const zero = rows.graph.scalar(0);
  const isEnd = equal(rows, end);
  const count = reduceSum(where(isEnd, rows.graph.scalar(1), zero), [1]);
  const shared = div(derivative, maximum(count, rows.graph.scalar(1)));
  return where(isEnd, shared, zero);
}
