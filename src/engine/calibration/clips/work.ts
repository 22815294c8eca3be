import type { ModelConfig } from '../../model/config.ts';
import {
  addWork,
  layerForward,
  passesOver,
  type TextSize,
  timesWork,
  tokensOf,
  type Work,
} from '../../network/work.ts';
import { CLIP_RATIOS } from './search.ts';

/** Passes over the numbers of a site with one ratio: extremes, rounding, difference, products. */
const PASSES = 5;

/** The text once through the network, and with every ratio the products and the attention that errors go through. */
export function clipSearchWork(config: ModelConfig, text: TextSize): Work {
  const { hiddenSize: d, intermediateSize: f, heads, kvHeads, headDim, layers } = config;
  const tokens = tokensOf(text);
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  const attention = 2 * (text.length * queries + queries * d);
  const products = 2 * (2 * d * d + 2 * queries * d + f * d) + 2 * attention;
  const ratio = addWork(
    { flops: tokens * products, bytes: 0, calls: 0 },
    passesOver(tokens * (2 * d + 3 * queries + f + 2 * keys), PASSES),
  );
  return timesWork(layers, addWork(layerForward(config, text, false), timesWork(CLIP_RATIOS.length, ratio)));
}
