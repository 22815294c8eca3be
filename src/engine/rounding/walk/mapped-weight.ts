/** Programs that every method needs which rounds weights beforehand: the weight to round, and what rounding cost. */
import type { Linear } from '../../../protocol/block.ts';
import { quantizeWithRatio, weightGrid } from '../../graph/fused/weight-quantize.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import { mul, sub } from '../../graph/ops/elementwise.ts';
import { gemm } from '../../graph/ops/matmul.ts';
import { reduceSum } from '../../graph/ops/reduce.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';
import { LayerInputs, type LayerTypes } from '../../network/layer-inputs.ts';
import { type LayerShape, weightQuantizer } from '../../network/layer-shape.ts';
import { mappedWeight } from '../../network/linear-sites.ts';

export interface MappedWeightSpec {
  readonly linear: Linear;
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/**
 * A weight in its new bases, W' = Lᵀ W A [out, in], its grid `scale` and `zero` [out, groups] of codes of a byte, as
 * rounding to nearest has it, and W' rounded to nearest on it.
 */
export const MAPPED_WEIGHT: ProgramKind<
  MappedWeightSpec,
  Record<'w' | 'nearest' | 'scale' | 'zero', Reals>
> = {
  name: 'mapped-weight',
  build({ linear, shape, types }) {
    const graph = new Graph();
    const inputs = new LayerInputs(graph, shape, types);
    const w = mappedWeight(inputs, linear);
    const quantizer = weightQuantizer(linear, shape.quantizers);
    const [nearest, ratio] = quantizeWithRatio(w, quantizer, null);
    return { graph, outputs: { w, nearest, ...weightGrid(w, ratio, quantizer) } };
  },
};

/** Energies are estimates from a sample: products in two pieces are off by far less than its noise. */
const ESTIMATED = 'bfloat16x2';

/** Energies of outputs x Eᵀ by row [out], diag(E H Eᵀ): for E = W, W − nearest and W − rounded, all [out, in]. */
export const ERRORS: ProgramKind<
  { readonly rows: number; readonly columns: number },
  Record<'all' | 'byNearest' | 'byMethod', Reals>
> = {
  name: 'rounding-errors',
  build({ rows, columns }) {
    const graph = new Graph();
    const weight = (name: string): Value => graph.input(name, [rows, columns]);
    const [w, nearest, rounded] = [weight('w'), weight('nearest'), weight('rounded')];
    const moment = graph.input('moment', [columns, columns]);
    const energy = (e: Value): Value => reduceSum(mul(gemm(e, moment), e), [1], false);
    const outputs = { all: energy(w), byNearest: energy(sub(w, nearest)), byMethod: energy(sub(w, rounded)) };
    return { graph, outputs, precision: ESTIMATED };
  },
};
