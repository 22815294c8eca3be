/** A layer whose activations and weights are rounded in its graph, with the derivatives of its error by what is learned. */
import { LINEARS, type Linear, type RoundedSite, type SeamName, type Site } from '../../../protocol/block.ts';
import { gradients } from '../../autodiff/gradients.ts';
import { type ActivationQuantizer, fakeQuantize } from '../../graph/fused/fake-quantize.ts';
import { Graph, type Real, type Value } from '../../graph/graph.ts';
import { mul, sigmoid, sub } from '../../graph/ops/elementwise.ts';
import { reduceMean } from '../../graph/ops/reduce.ts';
import { expand, reshape } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';
import { clippedActivation } from '../../network/clipped-activation.ts';
import { clippedWeight, gridsPerRow } from '../../network/clipped-weight.ts';
import { buildLayer, UNWATCHED } from '../../network/layer.ts';
import { LayerInputs, type LayerTypes } from '../../network/layer-inputs.ts';
import { type LayerShape, quantizerAt, weightQuantizer } from '../../network/layer-shape.ts';
import { attentionTables, mappedWeight, mergedSites } from '../../network/linear-sites.ts';

/** Seams with a map that is learned. */
export const FLAT_SEAMS = ['attention-norm', 'mlp-norm', 'up-down'] as const satisfies readonly SeamName[];
export type FlatSeam = (typeof FLAT_SEAMS)[number];

/** Everything that decides a layer's error. */
export interface FlatSpec {
  /** With maps of Kronecker at {@link FLAT_SEAMS}. */
  readonly shape: LayerShape;
  readonly types: LayerTypes;
  /** Sites whose clip ratio is learned; the others have that of their quantizer. */
  readonly clipped: readonly RoundedSite[];
}

/** Input name of the logit of a site's clip ratio [1]. */
export const clipName = (site: RoundedSite): string => `${site}.clip`;
/** Input names of the logits of the factors of a weight's ends [out, groups]. */
export const endNames = (linear: Linear) => [`${linear}.upper`, `${linear}.lower`] as const;
export const derivativeName = (name: string): string => `${name}.derivative`;

/** What is learned of a layer: input names with their shapes, those of maps as their numbers are. */
export interface Learnable {
  readonly graph: Graph;
  readonly inputs: ReadonlyMap<string, Value>;
  readonly loss: Value;
}

/** Mean of (y − target)² over tokens and channels. */
export function layerLoss({ shape, types, clipped }: FlatSpec, real: Real = 'float32'): Learnable {
  const graph = new Graph(real);
  const { batch, sequence, config, quantizers } = shape;
  const inputs = new LayerInputs(graph, shape, types);
  const learned = new Map<string, Value>();
  const factor = (name: string, dims: readonly number[]): Value => {
    const logits = learned.get(name) ?? graph.input(name, dims);
    learned.set(name, logits);
    return sigmoid(logits);
  };
  const weightOf = (linear: Linear): Value => {
    const quantizer = weightQuantizer(linear, quantizers);
    const weight = mappedWeight(inputs, linear);
    if (quantizer.bits >= 16) return weight;
    const dims = [weight.dim(0), gridsPerRow(weight.dim(1), quantizer)];
    const [upper, lower] = endNames(linear);
    return clippedWeight(weight, factor(upper, dims), factor(lower, dims), quantizer);
  };
  const rounded = (site: RoundedSite, x: Value, quantizer: ActivationQuantizer): Value => {
    if (!clipped.includes(site) || quantizer.bits >= 16) return fakeQuantize(x, quantizer);
    const ratio = factor(clipName(site), [1]);
    return clippedActivation(x, { upper: ratio, lower: ratio }, quantizer);
  };
  const x = graph.input('x', [batch * sequence, config.hiddenSize]);
  const sites = mergedSites(inputs, shape, false, UNWATCHED.keep, weightOf, rounded);
  const tables = attentionTables(graph, inputs, shape, true);
  const y = buildLayer(x, shape, sites, tables, { ...UNWATCHED, round: rounded });
  const error = sub(y, graph.input('target', y.dims));
  const loss = reshape(reduceMean(mul(error, error), [0, 1]), []);
  for (const seam of FLAT_SEAMS) {
    const numbers = inputs.givenMaps[seam];
    if (numbers) learned.set(seam, numbers);
  }
  return { graph, inputs: learned, loss };
}

/** x, target and what is learned → the error, and its derivatives by {@link derivativeName}. */
export const LAYER_STEP: ProgramKind<FlatSpec, { loss: Reals } & Record<string, Reals>> = {
  name: 'flatquant-step',
  build: (spec) => stepExpression(layerLoss(spec)),
};

/** ∂loss/∂ of all that is learned; zeros where nothing depends on it. */
export function stepExpression({ graph, inputs, loss }: Learnable) {
  const names = [...inputs.keys()];
  const found = gradients([[loss, graph.scalar(1)]], [...inputs.values()]);
  const derivatives = names.map((name, i): [string, Value] => {
    const zeros = (): Value =>
      expand(
        reshape(
          graph.scalar(0),
          inputs.get(name)!.dims.map(() => 1),
        ),
        inputs.get(name)!.dims,
      );
    return [derivativeName(name), found[i] ?? zeros()];
  });
  return {
    graph,
    outputs: { loss, ...Object.fromEntries(derivatives) } as { loss: Value } & Record<string, Value>,
  };
}

/** Sizes of the logits of a layer, by input name. */
export function logitSizes({
  shape: { quantizers },
  types,
  clipped,
}: FlatSpec): ReadonlyMap<string, readonly number[]> {
  const sizes = new Map<string, readonly number[]>();
  for (const linear of LINEARS) {
    const quantizer = weightQuantizer(linear, quantizers);
    if (quantizer.bits >= 16) continue;
    const [rows = 0, columns = 0] = types[linear]?.dims ?? [];
    for (const name of endNames(linear)) sizes.set(name, [rows, gridsPerRow(columns, quantizer)]);
  }
  for (const site of clipped) if (quantizerAt(site as Site, quantizers)) sizes.set(clipName(site), [1]);
  return sizes;
}
