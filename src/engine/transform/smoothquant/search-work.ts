import type { ModelConfig } from '../../model/config.ts';
import {
  addWork,
  layerForward,
  passesOver,
  prepareWeights,
  type TextSize,
  timesWork,
  tokensOf,
  type Work,
} from '../../network/work.ts';
import { ALPHAS, NORMS, searchedSequences } from './search-alpha.ts';

/** For each α of each norm a rounded layer and a pass of some sequences, whose output JavaScript compares. */
export function alphaSearchWork(config: ModelConfig, text: TextSize): Work {
  const some = { ...text, sequences: searchedSequences(text) };
  const compared = passesOver(tokensOf(some) * config.hiddenSize, 4);
  const pass = timesWork(config.layers, addWork(layerForward(config, some, true), compared));
  const prepared = prepareWeights(config, { mapped: true, searched: true });
  return timesWork(NORMS.length * (ALPHAS.length + 1), addWork(pass, prepared));
}
