import {
  type Experiment,
  hasLearnedRotation,
  learningWeightBits,
  type Purpose,
  roundingOf,
} from '../../config/index.ts';
import type { ModelConfig } from '../model/config.ts';
import type { NetworkMode } from '../network/layer-programs.ts';
import { type NetworkMemory, planMemory } from '../network/memory-plan.ts';

const GB = 1e9;
/** The longest passages of BoolQ have about so many tokens in vocabularies of 32 thousand and more. */
const TASK_TOKENS = 1024;

/** A network is made for passes forward, for passes backward too, or for the rounding of its weights by a method. */
export type NetworkPurpose = 'run' | 'learn' | 'round';

/**
 * Fits a network of this experiment into the memory that there is.
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
  const asked =
    purpose !== 'run' || evaluation.tasks.length === 0 ? [] : [Math.min(config.maxPositions, TASK_TOKENS)];
  const sequence = Math.max(calibration.sequenceLength, ...evaluated, ...asked);
  const demand = {
    sequence,
    learns,
    prepares: mode === 'merged',
    ...(purpose === 'round' && { rounds: roundingOf(experiment.quantization)?.title ?? '' }),
  };
  return planMemory(config, demand, memoryLimit === null ? null : memoryLimit * GB);
}

/** The networks that a job computes with, each of which must fit. */
export function networksOf(
  experiment: Experiment,
  purpose: Purpose,
): readonly { readonly mode: NetworkMode; readonly purpose: NetworkPurpose }[] {
  const rounds = roundingOf(experiment.quantization)?.compensates === true && purpose !== 'inspect';
  return [
    ...(hasLearnedRotation(experiment.rotation)
      ? [{ mode: learningMode(experiment), purpose: 'learn' as const }]
      : []),
    { mode: 'merged', purpose: 'run' },
    ...(rounds ? [{ mode: 'merged' as const, purpose: 'round' as const }] : []),
  ];
}

/** The form of the network that rotations are learned on: 16-bit weights take the cheaper unrotated one. */
export function learningMode(experiment: Experiment): NetworkMode {
  return learningWeightBits(experiment) >= 16 ? 'unrotated' : 'merged';
}
