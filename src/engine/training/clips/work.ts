import type { ModelConfig } from '../../model/config.ts';
import {
  addWork,
  headForward,
  layerBothWays,
  networkForward,
  type TextSize,
  timesWork,
  tokensOf,
  type Work,
} from '../../network/work.ts';
import { CLIP_LEARNING, sequencesOfStep } from './learn.ts';

/** Layers in composed operators take about so many times what the deployed ones do. */
const COMPOSED = 2;

/** Each step: the full-precision network, the quantized one forward and back, and two sets of logits with their way back. */
export function clipLearningWork(config: ModelConfig, size: TextSize): Work {
  const text = { sequences: sequencesOfStep(size), length: size.length };
  const layers = timesWork(COMPOSED * config.layers, layerBothWays(config, text, true));
  const heads = timesWork(2, headForward(config, tokensOf(text)));
  return timesWork(CLIP_LEARNING.steps, addWork(networkForward(config, text, false), layers, heads));
}
