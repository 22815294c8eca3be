import type { HostTensor } from '../../../protocol/tensor.ts';
import { quantizeWithRatio } from '../../graph/fused/weight-quantize.ts';
import { Graph } from '../../graph/graph.ts';
import { cast } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';
import { clippedCodes, gridsPerRow } from '../../network/clipped-weight.ts';
import { LayerInputs } from '../../network/layer-inputs.ts';
import { weightQuantizer } from '../../network/layer-shape.ts';
import { mappedWeight } from '../../network/linear-sites.ts';
import type { MappedWeightSpec } from '../walk/mapped-weight.ts';

/**
 * A weight in its new bases, W' = Lᵀ W A [out, in], as codes of a byte on its clipped grid, with s and z [out, groups];
 * and W' rounded to nearest as it would be without the method.
 */
export const CLIPPED_WEIGHT: ProgramKind<
  MappedWeightSpec,
  Record<'w' | 'nearest' | 'scale' | 'zero', Reals> & { codes: HostTensor<Int8Array> }
> = {
  name: 'clipped-weight',
  build({ linear, shape, types }) {
    const graph = new Graph();
    const inputs = new LayerInputs(graph, shape, types);
    const w = mappedWeight(inputs, linear);
    const quantizer = weightQuantizer(linear, shape.quantizers);
    const dims = [w.dim(0), gridsPerRow(w.dim(1), quantizer)];
    const [upper, lower] = [graph.input('upper', dims), graph.input('lower', dims)];
    const { codes, scale, zero } = clippedCodes(w, upper, lower, quantizer);
    const [nearest] = quantizeWithRatio(w, quantizer, null);
    return { graph, outputs: { w, nearest, codes: cast(codes, 'int8'), scale, zero } };
  },
};
