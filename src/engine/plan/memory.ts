import {
  type Experiment,
  hasLearnedRotation,
  learningWeightBits,
  optionsOf,
  type Purpose,
  roundingOf,
  scalingOf,
} from '../../config/index.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import type { ModelConfig } from '../model/config.ts';
import type { NetworkMode } from '../network/layer-programs.ts';
import {
  expectedBytes,
  type MemoryDemand,
  type NetworkMemory,
  planMemory,
  preparedBytes,
} from '../network/memory-plan.ts';

const GB = 1e9;
/** The longest passages of BoolQ have about so many tokens in vocabularies of 32 thousand and more. */
const TASK_TOKENS = 1024;

/** A network is made for passes forward, for passes backward too, or for a method that rounds or scales its weights. */
export type NetworkPurpose = 'run' | 'learn' | 'round' | 'scale';

/**
 * Fits a network of this experiment into the memory that there is.
 * @param prepared bytes of the prepared weights of all layers, where they are not in float32.
 * @throws UserError `memory/limit` when memoryLimit is too small for it.
 */
export function networkMemory(
  experiment: Experiment,
  config: ModelConfig,
  mode: NetworkMode,
  purpose: NetworkPurpose,
  prepared?: number,
): NetworkMemory {
  const { memoryLimit } = experiment;
  const demand = demandOf(experiment, config, mode, purpose, prepared);
  return planMemory(config, demand, memoryLimit === null ? null : memoryLimit * GB);
}

/**
 * Bytes that a network of this experiment is expected to take at once, the process and the mapped weights included.
 * @param tokens that pass through it in all.
 */
export function networkBytes(
  experiment: Experiment,
  { config, sizeBytes: weights }: Pick<Checkpoint, 'config' | 'sizeBytes'>,
  network: { readonly mode: NetworkMode; readonly purpose: NetworkPurpose },
  tokens: number,
): number {
  const { mode, purpose } = network;
  const memory = networkMemory(experiment, config, mode, purpose);
  return weights + expectedBytes(config, demandOf(experiment, config, mode, purpose), memory, tokens);
}

function demandOf(
  experiment: Experiment,
  config: ModelConfig,
  mode: NetworkMode,
  purpose: NetworkPurpose,
  prepared = mode === 'merged' ? preparedBytes(config) : 0,
): MemoryDemand {
  const { calibration, evaluation } = experiment;
  const learns = purpose === 'learn';
  const evaluated =
    purpose !== 'run' ? [] : evaluation.perplexity.map(({ sequenceLength }) => sequenceLength);
  const asked =
    purpose !== 'run' || evaluation.tasks.length === 0 ? [] : [Math.min(config.maxPositions, TASK_TOKENS)];
  const sequence = Math.max(calibration.sequenceLength, ...evaluated, ...asked);
  return { sequence, learns, prepared, ...momentsOf(experiment, purpose) };
}

/** The method that works on second moments in a network, and how to do without it. */
function momentsOf(experiment: Experiment, purpose: NetworkPurpose): Pick<MemoryDemand, 'moments'> {
  const rounding = roundingOf(experiment.quantization);
  const scaling = scalingOf(experiment);
  if (purpose === 'round') {
    const without = 'quantization.weights.method to "rtn"';
    const options = rounding && optionsOf(experiment.quantization.weights, rounding.name);
    const copies = rounding?.copies?.(options);
    const work = `${rounding?.title} rounds them`;
    return { moments: { work, without, walks: true, ...(copies && { copies }) } };
  }
  if (purpose !== 'scale' || !scaling?.servesWeights) return {};
  return { moments: { work: `${scaling.title} scales them`, without: 'scaling.method to "none"' } };
}

/** The networks that a job computes with, each of which must fit. */
export function networksOf(
  experiment: Experiment,
  purpose: Purpose,
): readonly { readonly mode: NetworkMode; readonly purpose: NetworkPurpose }[] {
  const reads = roundingOf(experiment.quantization)?.needsText ?? null;
  const rounds = reads !== null && purpose !== 'inspect';
  return [
    ...(hasLearnedRotation(experiment.rotation)
      ? [{ mode: learningMode(experiment), purpose: 'learn' as const }]
      : []),
    ...(scalingOf(experiment) ? [{ mode: 'plain' as const, purpose: 'scale' as const }] : []),
    { mode: 'merged', purpose: 'run' },
    ...(rounds ? [{ mode: 'merged' as const, purpose: 'round' as const }] : []),
  ];
}

/** The form of the network that rotations are learned on: 16-bit weights take the cheaper unrotated one. */
export function learningMode(experiment: Experiment): NetworkMode {
  return learningWeightBits(experiment) >= 16 ? 'unrotated' : 'merged';
}
