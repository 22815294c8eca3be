import type { Linear } from '../../../protocol/block.ts';
import { activationStatistics, BLOCK_SUMS } from '../../graph/fused/activation-statistics.ts';
import { fakeQuantizeWeight, type WeightQuantizer } from '../../graph/fused/weight-quantize.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { mul, sub } from '../../graph/ops/elementwise.ts';
import { reduceSum } from '../../graph/ops/reduce.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';
import { LayerInputs, type LayerTypes } from '../../network/layer-inputs.ts';
import { FULL_PRECISION, type LayerShape } from '../../network/layer-shape.ts';
import { weightBases } from '../../network/linear-sites.ts';
import { rotateWeight } from '../../network/rotated-linear.ts';
import type { PowerSums } from './moments.ts';

export interface NewBasesSpec {
  readonly linear: Linear;
  /** The maps that are merged into it. */
  readonly shape: Pick<LayerShape, 'config' | 'maps'>;
  readonly types: LayerTypes;
}

/** A weight in its new bases, W' = Lᵀ W A [out, in]. */
export const WEIGHT_IN_NEW_BASES: ProgramKind<NewBasesSpec, { readonly w: Reals }> = {
  name: 'weight-in-new-bases',
  build({ linear, shape, types }) {
    const graph = new Graph();
    const inputs = new LayerInputs(graph, { ...shape, quantizers: FULL_PRECISION }, types);
    const { left, right } = weightBases(inputs, linear);
    return { graph, outputs: { w: rotateWeight(inputs.weight(linear), left, right) } };
  },
};

/** Weights of one shape share a program, whatever their maps: a search of clip ratios takes long to compile. */
export interface WeightSpec {
  readonly rows: number;
  readonly columns: number;
  readonly quantizer: WeightQuantizer;
}

/**
 * w [rows, columns] and Q(w) by rounding to nearest → Σw, Σw², Σw³, Σw⁴ and Σ(Q(w) − w)². With our kernels `sums`
 * [blocks, 6] of blocks of rows, summed in double precision; else one output [rows] for each sum, in float32.
 */
export const OBSERVE_WEIGHT: ProgramKind<WeightSpec, Readonly<Record<string, Reals>>> = {
  name: 'observe-weight',
  build({ rows, columns, quantizer }, { ownKernels }) {
    const graph = new Graph();
    const w = graph.input('w', [rows, columns]);
    const rounded = fakeQuantizeWeight(w, quantizer);
    // Bins are what the operator counts beside its sums; here nobody asks for them.
    const outputs = ownKernels
      ? { sums: activationStatistics(w, rounded, 0, FEWEST_BINS).sums }
      : rowSums(w, rounded);
    return { graph, outputs };
  },
};

const FEWEST_BINS = 2;

/** Outputs of the composed form in the order of {@link WeightSums}. */
const POWERS = ['first', 'second', 'third', 'fourth'] as const;
const NOISE = 'noise';

function rowSums(w: Value, rounded: Value): Record<string, Value> {
  const byRow = (values: Value): Value => reduceSum(values, [1], false);
  const square = mul(w, w);
  const error = sub(rounded, w);
  return {
    first: byRow(w),
    second: byRow(square),
    third: byRow(mul(square, w)),
    fourth: byRow(mul(square, square)),
    [NOISE]: byRow(mul(error, error)),
  };
}

export interface WeightSums {
  readonly powers: PowerSums;
  /** Σ(Q(w) − w)²; 0 where nothing is quantized. */
  readonly noise: number;
}

/** Adds up what the program gave out, in double precision. */
export function weightSums({ sums, ...rows }: Readonly<Record<string, Reals>>): WeightSums {
  if (!sums) {
    const total = (name: string): number => rows[name]?.data.reduce((sum, value) => sum + value, 0) ?? 0;
    return { powers: POWERS.map(total), noise: total(NOISE) };
  }
  const all = new Float64Array(BLOCK_SUMS);
  for (const [index, value] of sums.data.entries())
    all[index % BLOCK_SUMS] = all[index % BLOCK_SUMS]! + value;
  return { powers: all.subarray(0, POWERS.length), noise: all[POWERS.length]! };
}
