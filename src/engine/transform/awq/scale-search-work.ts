import type { ModelConfig } from '../../model/config.ts';
import type { LayerQuantizers } from '../../network/layer-shape.ts';
import { layerParameters } from '../../network/memory-plan.ts';
import {
  addWork,
  type Cost,
  clipSearch,
  layerForward,
  NO_WORK,
  passesOver,
  secondMoment,
  type TextSize,
  timesWork,
  tokensOf,
} from '../../network/work.ts';
import { POWER_INDICES } from './scales.ts';

/**
 * Both halves of each layer: one pass of the text with the second moments of the last weight's rows, then for each power
 * a rounded half, a pass of the text, and the last weight's error by its moments. Passes of powers that are worse end
 * early, which is not counted on.
 */
export function scaleSearchWork(
  config: ModelConfig,
  text: TextSize,
  { weights: grid }: LayerQuantizers,
): Cost {
  const { hiddenSize: d, intermediateSize: f, heads, headDim, layers } = config;
  const tokens = tokensOf(text);
  const forward = layerForward(config, text, false);
  const queries = heads * headDim;
  const moments = addWork(secondMoment(tokens, queries), secondMoment(tokens, f));
  const size = layerParameters(config);
  const rounded = addWork(passesOver(2 * size, 3), grid.clipSearch ? clipSearch(size) : NO_WORK);
  const lastErrors = { flops: 2 * d * (queries ** 2 + f ** 2), bytes: 0, calls: 4 };
  const powers = timesWork(POWER_INDICES.length, addWork(forward, rounded, lastErrors));
  return {
    work: timesWork(layers, addWork(forward, moments, powers)),
    // What a half adds is kept beside the residual; its weights are rounded for one power at a time.
    bytes: Float32Array.BYTES_PER_ELEMENT * (tokens * d + size),
  };
}
