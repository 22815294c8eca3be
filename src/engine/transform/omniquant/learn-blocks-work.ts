import type { ModelConfig } from '../../model/config.ts';
import { type Cost, layerForward, type TextSize, timesWork } from '../../network/work.ts';
import { layerwiseWork } from '../layerwise/work.ts';

/** Passes over a weight in a step: its ends, scales and codes, and the derivatives by them. */
const PASSES_OVER_WEIGHTS = 50;

/** Each layer takes the full-precision and the rounded text through it, which is held beside the text as it is. */
export function learnBlocksWork(config: ModelConfig, text: TextSize, epochs: number): Cost {
  const pass = timesWork(2, layerForward(config, { sequences: 1, length: text.length }, true));
  return layerwiseWork(config, text, { epochs, pass, passesOverWeights: PASSES_OVER_WEIGHTS, texts: 1 });
}
