import type { ModelConfig } from '../../model/config.ts';
import { layerParameters } from '../../network/memory-plan.ts';
import {
  addWork,
  type Cost,
  layerBothWays,
  layerForward,
  passesOver,
  type TextSize,
  timesWork,
  tokensOf,
} from '../../network/work.ts';

/** Passes over a weight in a step by composed operators: its map, ends, scales and codes, and the derivatives by them. */
const PASSES_OVER_WEIGHTS = 60;
/** Each of these passes is an operator, for seven weights: so many runs of programs. */
const CALLS_OF_STEP = 40;

/** For each layer the text at full precision, and a step for each sequence of each epoch, forward and back. */
export function learnLayersWork(config: ModelConfig, text: TextSize, epochs: number): Cost {
  const one = { sequences: 1, length: text.length };
  const weights = passesOver(layerParameters(config), PASSES_OVER_WEIGHTS);
  const calls = { flops: 0, bytes: 0, calls: CALLS_OF_STEP };
  const step = addWork(layerBothWays(config, one, true), weights, calls);
  const pass = timesWork(text.sequences, layerForward(config, one, false));
  const layer = addWork(pass, timesWork(epochs * text.sequences, step));
  return {
    work: timesWork(config.layers, layer),
    // The text before and behind a layer, and the layer's weights with the derivatives by their grids.
    bytes:
      Float32Array.BYTES_PER_ELEMENT * (2 * tokensOf(text) * config.hiddenSize + 4 * layerParameters(config)),
  };
}
