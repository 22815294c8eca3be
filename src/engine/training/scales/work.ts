import type { ModelConfig } from '../../model/config.ts';
import { addWork, networkForward, type TextSize, timesWork, type Work } from '../../network/work.ts';
import { networkLearningWork } from '../../transform/learning/work.ts';

/** Each step takes a batch through the full-precision network, and through the quantized one forward and back. */
export function scaleLearningWork(config: ModelConfig, batch: TextSize, steps: number): Work {
  const through = networkLearningWork(config, batch, { steps, seams: [] }, { prepares: null });
  return addWork(through, timesWork(steps, networkForward(config, batch, false)));
}
