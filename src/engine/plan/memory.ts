import { type Experiment, learningWeightBits } from '../../config/index.ts';
import type { ModelConfig } from '../model/config.ts';
import type { NetworkMode } from '../network/layer-programs.ts';
import { type NetworkMemory, planMemory } from '../network/memory-plan.ts';

const GB = 1e9;

/** What a network is made for: passes forward, passes backward too, or the rounding of its weights by GPTQ. */
export type NetworkPurpose = 'run' | 'learn' | 'round';

/**
 * What a network of this experiment may hold in memory.
 * @throws UserError `memory/limit` when memoryLimit is too small for it.
 */
export function networkMemory(
  experiment: Experiment,
  config: ModelConfig,
  mode: NetworkMode,
  purpose: NetworkPurpose,
): NetworkMemory {
  const { calibration, evaluation, memoryLimit } = experiment;
  const learns = purpose === 'learn';
  const evaluated =
    purpose !== 'run' ? [] : evaluation.perplexity.map(({ sequenceLength }) => sequenceLength);
  const sequence = Math.max(calibration.sequenceLength, ...evaluated);
  const demand = { sequence, learns, prepares: mode === 'merged', rounds: purpose === 'round' };
  return planMemory(config, demand, memoryLimit === null ? null : memoryLimit * GB);
}

/** The form of the network that rotations are learned on: 16-bit weights take the cheaper unrotated one. */
export function learningMode(experiment: Experiment): NetworkMode {
  return learningWeightBits(experiment) >= 16 ? 'unrotated' : 'merged';
}
