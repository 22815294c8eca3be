import type { ModelConfig } from '../model/config.ts';
import {
  addWork,
  headForward,
  layerForward,
  prepareWeights,
  type TextSize,
  timesWork,
  tokensOf,
  type Work,
} from '../network/work.ts';

/** Passes of {@link estimate}: at full precision, half way and quantized. */
const PASSES = 3;

/**
 * This is the work that estimating the shares of all roundings takes.
 * @param searched true where weights are rounded with a search of clip ratios.
 */
export function attributionWork(config: ModelConfig, text: TextSize, searched: boolean): Work {
  // At a gate, products are taken with the weights as they are and with rounded ones.
  const gated = timesWork(2, layerForward(config, text, true));
  // Without gates, both ends are one pass and the other. Back, a layer is computed again.
  const layers = [
    layerForward(config, text, false),
    layerForward(config, text, true),
    gated,
    timesWork(2 * PASSES, gated),
  ];
  return addWork(
    prepareWeights(config, { mapped: true, searched: false }),
    prepareWeights(config, { mapped: true, searched }),
    timesWork(config.layers, addWork(...layers)),
    timesWork(2 * PASSES, headForward(config, tokensOf(text))),
  );
}
