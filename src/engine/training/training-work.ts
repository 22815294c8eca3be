import type { ModelConfig } from '../model/config.ts';
import type { LayerQuantizers } from '../network/layer-shape.ts';
import {
  addWork,
  type Cost,
  headForward,
  layerBothWays,
  layerForward,
  networkForward,
  passesOver,
  prepareWeights,
  type TextSize,
  timesWork,
  tokensOf,
} from '../network/work.ts';
import { parameterCount } from './weight-set.ts';

/** Passes over every weight in a step: sums of derivatives, and AdamW, which runs in JavaScript. */
const PASSES_OVER_WEIGHTS = 12;

export interface TrainingLength {
  readonly steps: number;
  readonly quantizers: LayerQuantizers;
}

/**
 * Each step takes a batch through the teacher, and through the student forward, forward again and back to activations
 * and weights; then it moves and rounds every weight.
 */
export function trainingWork(
  config: ModelConfig,
  batch: TextSize,
  { steps, quantizers }: TrainingLength,
): Cost {
  const { layers } = config;
  const parameters = parameterCount(config);
  const student = addWork(layerForward(config, batch, true), layerBothWays(config, batch, true));
  const heads = timesWork(4, headForward(config, tokensOf(batch)));
  const prepared = prepareWeights(config, { mapped: false, searched: quantizers.weights.clipSearch });
  const step = addWork(
    networkForward(config, batch, false),
    timesWork(layers, student),
    heads,
    prepared,
    passesOver(parameters, PASSES_OVER_WEIGHTS),
  );
  return {
    work: timesWork(steps, step),
    // Weights, derivatives and two moments in float32.
    bytes: 4 * Float32Array.BYTES_PER_ELEMENT * parameters,
  };
}
