/** A layer of the merged network whose activations and cache have factors of their ranges' ends as inputs. */
import { ROUNDED_SITES, type RoundedSite } from '../../../protocol/block.ts';
import { gradients } from '../../autodiff/gradients.ts';
import { type ActivationQuantizer, fakeQuantize } from '../../graph/fused/fake-quantize.ts';
import { Graph, type Real, type Value } from '../../graph/graph.ts';
import { slice } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';
import { clippedActivation } from '../../network/clipped-activation.ts';
import { buildLayer } from '../../network/layer.ts';
import { LayerInputs, type LayerTypes } from '../../network/layer-inputs.ts';
import { type LayerShape, quantizerAt } from '../../network/layer-shape.ts';
import { attentionTables, mergedSites } from '../../network/linear-sites.ts';

export interface ClippedSpec {
  /** With the quantizers of the deployed network; its weights are numbers. */
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/** Factors of a layer: of each site's upper end, then of its lower one. Symmetric grids read the first alone. */
export const FACTORS = 2 * ROUNDED_SITES.length;
export const factorOf = (site: RoundedSite, end: 'upper' | 'lower'): number =>
  2 * ROUNDED_SITES.indexOf(site) + (end === 'upper' ? 0 : 1);

/** x [T, d] and `factors` [{@link FACTORS}] → y [T, d]; the network that prepares the weights may round nothing. */
export function clippedExpression({ shape, types }: ClippedSpec, real: Real = 'float32') {
  const { config, batch, sequence } = shape;
  const graph = new Graph(real);
  const x = graph.input('x', [batch * sequence, config.hiddenSize]);
  const factors = graph.input('factors', [FACTORS]);
  const factor = (site: RoundedSite, end: 'upper' | 'lower'): Value =>
    slice(factors, 0, factorOf(site, end), factorOf(site, end) + 1);
  const round = (site: RoundedSite, value: Value, quantizer: ActivationQuantizer): Value => {
    if (!quantizerAt(site, shape.quantizers)) return fakeQuantize(value, quantizer);
    const upper = factor(site, 'upper');
    const lower = quantizer.symmetric ? upper : factor(site, 'lower');
    return clippedActivation(value, { upper, lower }, quantizer);
  };
  const keep = () => undefined;
  const inputs = new LayerInputs(graph, { ...shape, weightForm: 'numbers' }, types);
  const sites = mergedSites(inputs, { ...shape, weightForm: 'numbers' }, false, keep, undefined, round);
  const tables = attentionTables(graph, inputs, shape, true);
  const y = buildLayer(x, shape, sites, tables, { observe: keep, keep, round });
  return { graph, x, factors, y };
}

export const CLIPPED: ProgramKind<ClippedSpec, { y: Reals }> = {
  name: 'clipped-layer',
  build(spec) {
    const { graph, y } = clippedExpression(spec);
    return { graph, outputs: { y }, precision: spec.shape.precision };
  },
};

/** x, factors and dy → dx and dfactors. Computes the layer again. */
export const CLIPPED_BACKWARD: ProgramKind<ClippedSpec, { dx: Reals; dfactors: Reals }> = {
  name: 'clipped-layer-backward',
  build(spec) {
    const { graph, x, factors, y } = clippedExpression(spec);
    const [dx, dfactors] = gradients([[y, graph.input('dy', y.dims)]], [x, factors]);
    return { graph, outputs: { dx: dx!, dfactors: dfactors! }, precision: spec.shape.precision };
  },
};
