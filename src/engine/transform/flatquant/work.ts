import type { ModelConfig } from '../../model/config.ts';
import { type Cost, layerForward, type TextSize } from '../../network/work.ts';
import { layerwiseWork } from '../layerwise/work.ts';

/** Passes over a weight in a step: its map, ends, scales and codes, and the derivatives by them. */
const PASSES_OVER_WEIGHTS = 60;

/** Each layer takes the text through it at full precision; what is before and behind it is held. */
export function learnLayersWork(config: ModelConfig, text: TextSize, epochs: number): Cost {
  const pass = layerForward(config, { sequences: 1, length: text.length }, false);
  return layerwiseWork(config, text, { epochs, pass, passesOverWeights: PASSES_OVER_WEIGHTS, texts: 2 });
}
