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

/**
 * Each step takes a batch through the full-precision network, and through the quantized one forward and back: every input
 * of it is turned and turned back, and two sets of logits are compared.
 */
export function scaleLearningWork(config: ModelConfig, batch: TextSize, steps: number): Work {
  const tokens = tokensOf(batch);
  const turned = { flops: 2 * 2 * 2 * tokens * config.hiddenSize ** 2, bytes: 0, calls: 0 };
  const layer = timesWork(3, turned);
  const layers = timesWork(config.layers, addWork(layerBothWays(config, batch, true), layer));
  const heads = timesWork(3, headForward(config, tokens));
  return timesWork(steps, addWork(networkForward(config, batch, false), layers, heads));
}
