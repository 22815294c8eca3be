/** Activations on grids whose ends are shortened by factors that are values of the graph, so that they can be learned. */
import { elementCount } from '../../protocol/tensor.ts';
import { type ActivationQuantizer, rangeRatio } from '../graph/fused/fake-quantize.ts';
import type { Value } from '../graph/graph.ts';
import { less, scale, where } from '../graph/ops/elementwise.ts';
import { reduceMax, reduceMin } from '../graph/ops/reduce.ts';
import { expand, reshape } from '../graph/ops/shape.ts';
import { clippedRows } from './clipped-weight.ts';

/** Factors [1] of the largest and of the smallest number of a range. */
export interface Ends {
  readonly upper: Value;
  readonly lower: Value;
}

/**
 * Q(x) with the quantizer's bits and groups, and these factors in the place of its clip ratio. The derivative takes both
 * roundings straight through, and goes on into x, by its extremes too, and into the factors. An end beyond zero has the
 * factor of the other one: a range of one sign would else be turned round.
 */
export function clippedActivation(x: Value, { upper, lower }: Ends, quantizer: ActivationQuantizer): Value {
  const width = quantizer.group || x.dim(-1);
  const rows = reshape(x, [elementCount(x.dims) / width, width]);
  const zero = x.graph.scalar(0);
  const grown = (factor: Value): Value =>
    expand(reshape(scale(factor, rangeRatio(quantizer)), [1, 1]), [rows.dim(0), 1]);
  const [high, low] = [grown(upper), grown(lower)];
  const isBelow = less(reduceMax(rows, [1]), zero);
  const isAbove = less(zero, reduceMin(rows, [1]));
  const [ofHigh, ofLow] = quantizer.includeZero
    ? [high, low]
    : [where(isBelow, low, high), where(isAbove, high, low)];
  return reshape(clippedRows(rows, ofHigh, ofLow, quantizer), x.dims);
}
