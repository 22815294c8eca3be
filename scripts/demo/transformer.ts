/** The whole demo network is one expression, with the derivative of its loss with respect to every weight. */
import { gradients } from '../../src/engine/autodiff/gradients.ts';
import { rmsNorm } from '../../src/engine/graph/fused/rms-norm.ts';
import { tokenLoss } from '../../src/engine/graph/fused/token-loss.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { mul } from '../../src/engine/graph/ops/elementwise.ts';
import { gemm } from '../../src/engine/graph/ops/matmul.ts';
import { reduceMean } from '../../src/engine/graph/ops/reduce.ts';
import { gatherRows, reshape } from '../../src/engine/graph/ops/shape.ts';
import { Program } from '../../src/engine/graph/program.ts';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import { expectedTensors } from '../../src/engine/model/weights.ts';
import { buildLayer, UNWATCHED } from '../../src/engine/network/layer.ts';
import { LayerInputs, type LayerTypes } from '../../src/engine/network/layer-inputs.ts';
import { type BatchShape, FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { plainSites } from '../../src/engine/network/linear-sites.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';

/** Returns weight names as in the checkpoint, with their shapes. */
export function weightShapes(config: ModelConfig): Map<string, readonly number[]> {
  return new Map([...expectedTensors(config)].map(([name, { dims }]) => [name, dims]));
}

export const layerPrefix = (layer: number): string => `layer${layer}.`;

/** Compiles ids and labels to the loss and `gradient of <input>` for every weight input. */
export function compileTraining(
  runtime: Runtime,
  config: ModelConfig,
  batch: BatchShape,
  layerTypes: LayerTypes,
): Promise<Program> {
  const graph = new Graph();
  const tokens = batch.batch * batch.sequence;
  const embedding = graph.input('embedding', [config.vocabSize, config.hiddenSize]);
  const tables = {
    cos: graph.input('cos', [batch.sequence, config.headDim / 2]),
    sin: graph.input('sin', [batch.sequence, config.headDim / 2]),
    qNorm: null,
    kNorm: null,
  };
  const shape = { ...batch, config, window: null, quantizers: FULL_PRECISION, maps: NO_MAPS };
  let x = gatherRows(embedding, graph.input('ids', [tokens], 'int64'));
  for (let layer = 0; layer < config.layers; layer++) {
    const inputs = new LayerInputs(graph, shape, layerTypes, layerPrefix(layer));
    x = buildLayer(x, shape, plainSites(inputs, UNWATCHED.keep), tables, UNWATCHED);
  }
  const hidden = mul(rmsNorm(x, config.rmsNormEps), graph.input('finalNorm', [config.hiddenSize]));
  // The embedding is tied to the output layer, so its gradient is the sum of both uses.
  const logits = gemm(hidden, embedding, { transB: true });
  const nll = tokenLoss(logits, graph.input('labels', [tokens], 'int64'));
  const loss = reshape(reduceMean(nll, [0], false), []);
  const data = new Set(['ids', 'labels', 'cos', 'sin']);
  const weights = graph.inputs.filter((input) => !data.has(input.inputName!));
  const found = gradients([[loss, graph.scalar(1)]], weights);
  const outputs = weights.map((weight, i): [string, Value | null] => [
    gradientName(weight.inputName!),
    found[i]!,
  ]);
  return Program.compile(runtime, graph, { loss, ...Object.fromEntries(outputs) });
}

export const gradientName = (input: string): string => `gradient of ${input}`;
