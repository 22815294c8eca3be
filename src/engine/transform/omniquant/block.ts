/** A block of the quantized network whose weights are rounded in its graph. */
import type { Linear } from '../../../protocol/block.ts';
import { gradients } from '../../autodiff/gradients.ts';
import { Graph, type Real, type Value } from '../../graph/graph.ts';
import { add, div, less, mul, scale, sqrt, sub, where } from '../../graph/ops/elementwise.ts';
import { reduceMean } from '../../graph/ops/reduce.ts';
import { concat, expand, reshape } from '../../graph/ops/shape.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramKind } from '../../graph/program-cache.ts';
import { clippedWeight, gridsPerRow } from '../../network/clipped-weight.ts';
import { buildLayer, UNWATCHED } from '../../network/layer.ts';
import { LayerInputs, type LayerTypes } from '../../network/layer-inputs.ts';
import { type LayerShape, weightQuantizer } from '../../network/layer-shape.ts';
import { attentionTables, mappedWeight, mergedSites } from '../../network/linear-sites.ts';
import { FIRST_LOGIT, layoutOf, partsOf, type ScaledSeam, SMALLEST_SCALE } from './parameters.ts';

/** Everything that decides a block; its maps are those at all seams, the scaled ones among them. */
export interface BlockSpec {
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

export interface StepSpec extends BlockSpec {
  /** Seams whose scales are learned. */
  readonly seams: readonly ScaledSeam[];
  readonly rates: { readonly clips: number; readonly scales: number };
}

/** Factors of the ends of a linear layer's grids [out, groups]. */
type ClipsOf = (linear: Linear) => { readonly upper: Value; readonly lower: Value };

/** y = block(x) [T, d] with every weight on its clipped grid. */
function blockOutput(inputs: LayerInputs, graph: Graph, shape: LayerShape, clipsOf: ClipsOf): Value {
  const { config, batch, sequence, quantizers } = shape;
  const prepared = (linear: Linear): Value => {
    const { upper, lower } = clipsOf(linear);
    return clippedWeight(mappedWeight(inputs, linear), upper, lower, weightQuantizer(linear, quantizers));
  };
  const sites = mergedSites(inputs, shape, false, UNWATCHED.keep, prepared);
  const tables = attentionTables(graph, inputs, shape, true);
  return buildLayer(graph.input('x', [batch * sequence, config.hiddenSize]), shape, sites, tables, UNWATCHED);
}

/** x → y with what was learned: maps and factors of the grids' ends are inputs. */
export const QUANTIZED_BLOCK: ProgramKind<BlockSpec, { y: Reals }> = {
  name: 'omniquant-block',
  build({ shape, types }) {
    const graph = new Graph();
    const { weights } = shape.quantizers;
    const y = blockOutput(new LayerInputs(graph, shape, types), graph, shape, (linear) => {
      const [rows = 0, columns = 0] = types[linear]?.dims ?? [];
      const dims = [rows, gridsPerRow(columns, weights)];
      return {
        upper: graph.input(`${linear}.upper`, dims),
        lower: graph.input(`${linear}.lower`, dims),
      };
    });
    return { graph, outputs: { y } };
  },
};

/** Mean of (y − target)² over tokens and channels, for a vector of parameters. */
export function blockLoss({ shape, types, seams }: Omit<StepSpec, 'rates'>, real: Real = 'float32') {
  const graph = new Graph(real);
  const { config } = shape;
  const layout = layoutOf(config, types, shape.quantizers.weights, seams);
  const parameters = graph.input('parameters', [layout.size]);
  const parts = partsOf(parameters, layout, config);
  const inputs = new LayerInputs(graph, shape, types, '', parts.maps);
  const y = blockOutput(inputs, graph, shape, (linear) => parts.clips[linear]);
  const error = sub(y, graph.input('target', y.dims));
  const loss = reshape(reduceMean(mul(error, error), [0, 1]), []);
  return { graph, layout, parameters, slices: parts.slices, loss };
}

/** ∂loss/∂parameters [size]. */
export function blockGradient({ graph, slices, loss }: ReturnType<typeof blockLoss>): Value {
  const found = gradients([[loss, graph.scalar(1)]], slices);
  const zeros = (dims: readonly number[]): Value => expand(reshape(graph.scalar(0), [1]), dims);
  return concat(
    slices.map(({ dims }, index) => found[index] ?? zeros(dims)),
    0,
  );
}

/** Decay of the moving averages of the gradient and of its square, and what keeps their ratio finite (Adam's own). */
const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;

/** Parameters with Adam's two moving averages, [size] each. */
export type StepState = Record<'parameters' | 'mean' | 'square', Reals>;

/** The same after a step, as a program's outputs. */
export type NextState = Record<`next.${keyof StepState}`, Reals>;

export function nextOf({ parameters, mean, square }: StepState): NextState {
  return { 'next.parameters': parameters, 'next.mean': mean, 'next.square': square };
}

/**
 * One step of AdamW without decay on one batch, p − η m̂/(√v̂ + ε); scales nearer to 0 than {@link SMALLEST_SCALE} are put
 * back there, on their side of it. The loss is that before the step.
 */
export function stepExpression(spec: StepSpec, real: Real = 'float32') {
  const block = blockLoss(spec, real);
  const { graph, layout, parameters, loss } = block;
  const g = blockGradient(block);
  const { size, firstScale } = layout;
  const vector = (clips: number, scales: number): Value =>
    graph.reals(
      [size],
      Array.from({ length: size }, (_, i) => (i < firstScale ? clips : scales)),
    );
  const m = add(scale(graph.input('mean', [size]), BETA1), scale(g, 1 - BETA1));
  const v = add(scale(graph.input('square', [size]), BETA2), scale(mul(g, g), 1 - BETA2));
  const [mHat, vHat] = [div(m, graph.input('correction1', [])), div(v, graph.input('correction2', []))];
  const direction = div(mHat, add(sqrt(vHat), graph.scalar(EPSILON)));
  const moved = sub(parameters, mul(vector(spec.rates.clips, spec.rates.scales), direction));
  const parametersAfter = offZero(moved, vector(0, SMALLEST_SCALE));
  const next = { 'next.parameters': parametersAfter, 'next.mean': m, 'next.square': v };
  return { graph, outputs: { loss, ...next } };
}

/** p, or ±floor where |p| is below it. */
function offZero(p: Value, floor: Value): Value {
  const isNegative = less(p, p.graph.scalar(0));
  const size = where(isNegative, scale(p, -1), p);
  return where(less(size, floor), where(isNegative, scale(floor, -1), floor), p);
}

/** A step: x and the target [T, d], the layer's tensors, the state and its corrections → the loss and the next state. */
export const STEP: ProgramKind<StepSpec, NextState & { loss: Reals }> = {
  name: 'omniquant-step',
  build: (spec) => stepExpression(spec),
};

/** 1 − β^(step + 1), for steps counted from 0. */
export function corrections(step: number): Record<'correction1' | 'correction2', number> {
  return { correction1: 1 - BETA1 ** (step + 1), correction2: 1 - BETA2 ** (step + 1) };
}

/** Where learning starts. @param scales of each seam that has them. */
export function firstParameters(
  layout: ReturnType<typeof layoutOf>,
  scales: Readonly<Partial<Record<ScaledSeam, ArrayLike<number>>>>,
): Float32Array {
  const parameters = new Float32Array(layout.size).fill(FIRST_LOGIT);
  parameters.fill(1, layout.firstScale);
  for (const [seam, values] of Object.entries(scales)) {
    const segment = layout.scales[seam as ScaledSeam];
    if (segment) parameters.set(Array.from(values), segment.start);
  }
  return parameters;
}
