/** Derivatives by weights, on the expressions that the deployed network is made of. */
import { LINEARS } from '../../protocol/block.ts';
import { gradients } from '../autodiff/gradients.ts';
import type { Graph, Real, Value } from '../graph/graph.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramKind } from '../graph/program-cache.ts';
import { type EndsShape, hiddenExpression } from '../network/ends-programs.ts';
import { type LayerTypes, preparedName } from '../network/layer-inputs.ts';
import { layerExpression, type PrepareSpec, prepareExpression } from '../network/layer-programs.ts';
import type { LayerShape } from '../network/layer-shape.ts';

const GRADIENT = '.gradient';

/** Name of the output, and of the input, that holds the derivative by a program's input. */
export const gradientOf = (input: string): string => input + GRADIENT;

/** The input that a derivative belongs to. */
export const inputOf = (gradient: string): string => gradient.slice(0, -GRADIENT.length);

/** A graph with the derivatives that are wanted, by output name; null where the loss does not depend on an input. */
export interface Derivatives {
  readonly graph: Graph;
  readonly outputs: Record<string, Value | null>;
}

function derivatives(graph: Graph, seeds: [Value, Value][], inputs: readonly Value[]): Derivatives {
  const found = gradients(seeds, inputs);
  const named = inputs.map(({ inputName }, index) => [gradientOf(inputName ?? ''), found[index] ?? null]);
  return { graph, outputs: Object.fromEntries(named) };
}

/** Tables are not trained. */
const FIXED: readonly (string | null)[] = ['cos', 'sin', 'ids'];

const trained = ({ inputs }: Graph): Value[] => inputs.filter(({ inputName }) => !FIXED.includes(inputName));

/** Everything that decides the backward program of a layer by its weights. */
export interface TrainingSpec {
  readonly shape: LayerShape;
  readonly types: LayerTypes;
}

/**
 * x, dy [B·S, d] → the derivatives by x, by each prepared weight Ŵ, by biases and by the norms of heads, straight
 * through the quantizers of activations, keys and values. The forward pass is computed again.
 */
export function layerDerivatives({ shape, types }: TrainingSpec, real: Real = 'float32'): Derivatives {
  const { graph, y } = layerExpression(shape, types, 'merged', false, real);
  const inputs = trained(graph);
  return derivatives(graph, [[y, graph.input('dy', y.dims)]], inputs);
}

export const LAYER_DERIVATIVES: ProgramKind<TrainingSpec, Record<string, Reals>> = {
  name: 'layer-derivatives',
  build: (spec) => layerDerivatives(spec),
};

/**
 * Derivatives by the prepared weights Ŵ = Q(W ∘ gain) → those by the weights and by the gains of norms, straight through
 * the rounding.
 */
export function weightDerivatives(spec: PrepareSpec, real: Real = 'float32'): Derivatives {
  const { graph, outputs } = prepareExpression(spec, real);
  const inputs = trained(graph);
  const seeds = LINEARS.map((linear): [Value, Value] => {
    const prepared = outputs[preparedName(linear)]!;
    return [prepared, graph.input(gradientOf(preparedName(linear)), prepared.dims)];
  });
  return derivatives(graph, seeds, inputs);
}

export const WEIGHT_DERIVATIVES: ProgramKind<PrepareSpec, Record<string, Reals>> = {
  name: 'weight-derivatives',
  build: (spec) => weightDerivatives(spec),
};

/** x, ∂loss/∂hidden [T, d] → the derivatives by x and by the gain of the last norm. */
export function hiddenDerivatives(shape: EndsShape, real: Real = 'float32'): Derivatives {
  const { graph, y } = hiddenExpression(shape, real);
  const inputs = trained(graph);
  return derivatives(graph, [[y, graph.input('dy', y.dims)]], inputs);
}

export const HIDDEN_DERIVATIVES: ProgramKind<EndsShape, Record<string, Reals>> = {
  name: 'hidden-derivatives',
  build: (shape) => hiddenDerivatives(shape),
};
