import type { ModelConfig } from '../../model/config.ts';
import { layerParameters } from '../../network/memory-plan.ts';
import {
  addWork,
  layerForward,
  passesOver,
  type TextSize,
  timesWork,
  tokensOf,
  type Work,
} from '../../network/work.ts';
import { observedSequences } from './activations.ts';

/** Passes over a site's numbers or a weight's, before and after its maps: extremes, moments, bins, rounding. */
const PASSES = 2 * 8;

/** The observed sequences pass once, and every site is looked at before and after the maps. */
export function statisticsWork(config: ModelConfig, text: TextSize): Work {
  const { hiddenSize: d, intermediateSize: f, heads, kvHeads, headDim, layers } = config;
  const { length } = text;
  const seen = { sequences: observedSequences(text), length };
  const sites = 2 * d + f + 2 * heads * headDim + 2 * kvHeads * headDim;
  const looked = passesOver(tokensOf(seen) * sites, PASSES);
  const calls = { flops: 0, bytes: 0, calls: seen.sequences };
  const weights = passesOver(layerParameters(config), PASSES);
  return timesWork(layers, addWork(layerForward(config, seen, false), looked, weights, calls));
}
