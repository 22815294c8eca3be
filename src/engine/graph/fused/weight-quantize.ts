import { elementCount } from '../../../protocol/tensor.ts';
import { intAttribute, type OpDefinition, type Value } from '../graph.ts';
import {
  abs,
  add,
  and,
  div,
  equal,
  exp,
  less,
  log,
  maximum,
  minimum,
  mul,
  round,
  scale,
  sub,
  where,
} from '../ops/elementwise.ts';
import { reduceMax, reduceMin, reduceSum } from '../ops/reduce.ts';
import { cast, expand, reshape } from '../ops/shape.ts';

/** Weights are rounded to nearest with one scale per output channel, or per group of consecutive inputs. */
export interface WeightQuantizer {
  readonly bits: number;
  readonly symmetric: boolean;
  /** Inputs that share a scale; 0 for the whole row. */
  readonly group: number;
  /** True where the clip ratio 1.00 … 0.21 is searched that minimises Σ|Q(w) − w|^2.4 per row or group. */
  readonly clipSearch: boolean;
}

/** The clip search tries ratios 1 − i/100 for i = 0 … 79 (grid 100, shrink to 0.2). */
const CLIP_STEPS = 80;
const CLIP_GRID = 100;
const ERROR_POWER = 2.4;

export const FakeQuantizeWeight: OpDefinition = {
  name: 'FakeQuantizeWeight',
  domain: 'spinquant',
  infer(inputs, attributes) {
    const w = inputs[0]!;
    const group = intAttribute(attributes, 'group') || w.dim(1);
    return [
      { dtype: w.dtype, dims: w.dims },
      { dtype: w.dtype, dims: [w.dim(0), w.dim(1) / group] },
    ];
  },
  // The derivative is straight-through, with the scale detached.
  gradient: (node, [dy]) => node.inputs.map((_, index) => (index === 0 ? dy! : null)),
  compose(inputs, attributes) {
    const [w, given] = inputs as [Value, Value | undefined];
    const group = intAttribute(attributes, 'group') || w.dim(1);
    const grid = new Grid(reshape(w, [elementCount(w.dims) / group, group]), {
      bits: intAttribute(attributes, 'bits'),
      symmetric: intAttribute(attributes, 'symmetric') === 1,
      includeZero: group === w.dim(1),
    });
    const searches = intAttribute(attributes, 'clip_search') === 1;
    const ratio = given
      ? reshape(given, [elementCount(given.dims), 1])
      : searches
        ? grid.searchRatio()
        : grid.fullRange();
    return [reshape(grid.quantize(ratio), w.dims), reshape(ratio, [w.dim(0), w.dim(1) / group])];
  },
};

interface GridOptions {
  readonly bits: number;
  readonly symmetric: boolean;
  readonly includeZero: boolean;
}

/** Each row of w [rows, group] has a uniform grid, which depends on the clip ratio [rows, 1]. */
class Grid {
  readonly #w: Value;
  readonly #options: GridOptions;
  readonly #lo: Value;
  readonly #hi: Value;

  constructor(w: Value, options: GridOptions) {
    const zero = w.graph.scalar(0);
    this.#w = w;
    this.#options = options;
    let lo = reduceMin(w, [1]);
    let hi = reduceMax(w, [1]);
    if (options.includeZero) [lo, hi] = [minimum(lo, zero), maximum(hi, zero)];
    if (options.symmetric) {
      this.#hi = maximum(maximum(abs(lo), abs(hi)), w.graph.scalar(1e-5));
      this.#lo = this.#hi;
    } else {
      const empty = and(equal(lo, zero), equal(hi, zero));
      this.#lo = where(empty, w.graph.scalar(-1), lo);
      this.#hi = where(empty, w.graph.scalar(1), hi);
    }
  }

  fullRange(): Value {
    return expand(reshape(this.#w.graph.scalar(1), [1, 1]), [this.#w.dim(0), 1]);
  }

  quantize(ratio: Value): Value {
    return this.#options.symmetric ? this.#symmetric(ratio) : this.#asymmetric(ratio);
  }

  /** Returns s [rows, 1] of a symmetric grid, whose codes are −top − 1 … top. */
  symmetricScale(ratio: Value): Value {
    return div(mul(ratio, this.#hi), this.#w.graph.scalar(this.#top));
  }

  /** Returns scale and zero point [rows, 1] of codes −2^{b−1} … 2^{b−1}−1, whose values are s (c − z). */
  signedGrid(ratio: Value): { scale: Value; zero: Value } {
    const g = this.#w.graph;
    const zero = g.scalar(0);
    if (this.#options.symmetric) return { scale: this.symmetricScale(ratio), zero: scale(ratio, 0) };
    const { constant, s, z } = this.#asymmetricSteps(ratio);
    const half = g.scalar(2 ** (this.#options.bits - 1));
    // A constant group is one step from zero.
    return { scale: where(constant, this.#lo, s), zero: sub(where(constant, zero, z), half) };
  }

  get #top(): number {
    return 2 ** (this.#options.bits - 1) - 1;
  }

  #symmetric(ratio: Value): Value {
    const g = this.#w.graph;
    const top = this.#top;
    const s = this.symmetricScale(ratio);
    return mul(s, maximum(minimum(round(div(this.#w, s)), g.scalar(top)), g.scalar(-top - 1)));
  }

  #asymmetric(ratio: Value): Value {
    const g = this.#w.graph;
    const { constant, s, z } = this.#asymmetricSteps(ratio);
    const top = g.scalar(2 ** this.#options.bits - 1);
    const q = maximum(minimum(add(round(div(this.#w, s)), z), top), g.scalar(0));
    return where(constant, this.#w, mul(s, sub(q, z)));
  }

  #asymmetricSteps(ratio: Value): { constant: Value; s: Value; z: Value } {
    const g = this.#w.graph;
    const lo = mul(ratio, this.#lo);
    const constant = equal(this.#lo, this.#hi);
    const top = g.scalar(2 ** this.#options.bits - 1);
    const s = where(constant, g.scalar(1), div(sub(mul(ratio, this.#hi), lo), top));
    return { constant, s, z: round(div(sub(g.scalar(0), lo), s)) };
  }

  /** Returns the ratio of the first strict minimum of the error. */
  searchRatio(): Value {
    const g = this.#w.graph;
    let best = this.fullRange();
    let bestError = this.#error(best);
    for (let i = 1; i < CLIP_STEPS; i++) {
      const ratio = scale(this.fullRange(), 1 - i / CLIP_GRID);
      const error = this.#error(ratio);
      const better = less(error, bestError);
      best = where(better, ratio, best);
      bestError = where(better, error, bestError);
    }
    return minimum(best, g.scalar(1));
  }

  /** Computes Σ|Q(w) − w|^2.4 per row; |e|^p is exp(p·log|e|), 0 where e is 0. */
  #error(ratio: Value): Value {
    const g = this.#w.graph;
    const e = abs(sub(this.quantize(ratio), this.#w));
    const none = equal(e, g.scalar(0));
    const power = exp(scale(log(where(none, g.scalar(1), e)), ERROR_POWER));
    return reduceSum(where(none, g.scalar(0), power), [1]);
  }
}

/** Rounds weights [out, in] to the grid and back. */
export function fakeQuantizeWeight(w: Value, quantizer: WeightQuantizer): Value {
  return quantizer.bits >= 16 ? w : quantizeWithRatio(w, quantizer, null)[0];
}

/**
 * Rounds weights to fewer than 16 bits and returns them with the clip ratios [out, groups].
 * @param given ratios to use instead of a search.
 */
export function quantizeWithRatio(w: Value, quantizer: WeightQuantizer, given: Value | null): [Value, Value] {
  const group = quantizer.group === w.dim(1) ? 0 : quantizer.group;
  if (group !== 0 && w.dim(1) % group !== 0)
    throw new Error(`weight group ${group} does not divide ${w.dim(1)}`);
  return w.graph.apply(FakeQuantizeWeight, given ? [w, given] : [w], {
    bits: quantizer.bits,
    symmetric: quantizer.symmetric ? 1 : 0,
    group,
    clip_search: quantizer.clipSearch ? 1 : 0,
  }) as [Value, Value];
}

/**
 * Returns the grid of each row or group for codes of a byte: Q(w) = s (c − z) with c in −2^{b−1} … 2^{b−1}−1.
 * @param w [out, in] before rounding. @param ratio its clip ratios [out, groups].
 * @returns s and z [out, groups], z whole numbers.
 */
export function weightGrid(
  w: Value,
  ratio: Value,
  { bits, symmetric }: WeightQuantizer,
): { readonly scale: Value; readonly zero: Value } {
  const group = w.dim(1) / ratio.dim(1);
  const rows = reshape(w, [elementCount(ratio.dims), group]);
  const grid = new Grid(rows, { bits, symmetric, includeZero: ratio.dim(1) === 1 });
  const { scale, zero } = grid.signedGrid(reshape(ratio, [elementCount(ratio.dims), 1]));
  return { scale: reshape(scale, ratio.dims), zero: reshape(zero, ratio.dims) };
}

/**
 * Returns rounded weights as codes of a byte: Q(w) = s (c − z), see {@link weightGrid}.
 * @param w [out, in] before rounding. @param rounded Q(w). @param ratio its clip ratios [out, groups].
 * @returns c, whole numbers in the graph's real type [out, in], s and z [out, groups].
 */
export function gridCodes(
  w: Value,
  rounded: Value,
  ratio: Value,
  quantizer: WeightQuantizer,
): Record<'codes' | 'scale' | 'zero', Value> {
  const { scale, zero } = weightGrid(w, ratio, quantizer);
  const [rows, groups] = scale.dims as [number, number];
  const each = (values: Value): Value => reshape(values, [rows, groups, 1]);
  const grouped = reshape(rounded, [rows, groups, w.dim(1) / groups]);
  // The quotient is a whole number but for its last bits.
  const multiples = round(div(grouped, each(scale)));
  const codes = quantizer.symmetric ? multiples : add(multiples, each(zero));
  return { codes: reshape(codes, w.dims), scale, zero };
}

/** True where a rounded row is whole numbers times one scale, and the numbers fit bfloat16's 8 bits. */
export function hasRowCodes({ bits, symmetric, group }: WeightQuantizer): boolean {
  return bits <= 8 && symmetric && group === 0;
}

/**
 * Returns rounded weights as codes: diag(s) q = Q(w), for quantizers with {@link hasRowCodes}.
 * @param w [out, in] before rounding. @param rounded Q(w). @param ratio its clip ratios [out, 1].
 * @returns q, bfloat16, exact, and s [out].
 */
export function rowCodes(
  w: Value,
  rounded: Value,
  ratio: Value,
  { bits, symmetric }: WeightQuantizer,
): { readonly codes: Value; readonly scale: Value } {
  const scale = new Grid(w, { bits, symmetric, includeZero: true }).symmetricScale(ratio);
  // The quotient is a whole number but for its last bit, which bfloat16 drops.
  return { codes: cast(div(rounded, scale), 'bfloat16'), scale: reshape(scale, [w.dim(0)]) };
}
