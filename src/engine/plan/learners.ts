/** The learner of an experiment: through the quantized network, or on captured activations. */
import { blocksToCapture, captureActivations } from '../calibration/capture.ts';
import type { Network } from '../network/network.ts';
import { quantizersOf } from '../network/quantizers.ts';
import type { SeamState } from '../network/seams.ts';
import {
  type DistributionOptions,
  learnFromActivations,
} from '../transform/learning/distribution-learner.ts';
import { type LearnOptions, type LearnStep, learnRotations } from '../transform/learning/learner.ts';
import { learnedSeams, symmetricSeams } from './experiment-maps.ts';
import type { LearningCheckpoint } from './learning-checkpoint.ts';
import { capturedNetwork, learningNetwork } from './networks.ts';
import type { Workbench } from './workbench.ts';

/**
 * Learns from a checkpoint on.
 * @param initial where learning started.
 */
export async function* learnBySteps(
  bench: Workbench,
  blocks: readonly Int32Array[],
  initial: SeamState,
  from: LearningCheckpoint,
  signal?: AbortSignal,
): AsyncGenerator<LearnStep, SeamState> {
  const { learning, start } = bench.experiment.rotation;
  const { objective } = learning;
  if (objective !== 'cross-entropy') {
    return yield* learnOnCaptured(bench, blocks, initial, { ...learning, objective }, signal);
  }
  const network = learningNetwork(bench);
  const options = learnOptions(bench, network, blocks);
  const warm = start === 'captured' && from.step === 0;
  const state = warm
    ? await lastState(learnOnCaptured(bench, blocks, initial, WARM_START, signal))
    : from.state;
  const begin = { step: from.step, state, memory: from.memory };
  return yield* learnRotations(bench.cache, network, begin, blocks, options, signal);
}

/** Steps of the start `captured`: enough to settle, seconds of work. */
export const WARM_START = {
  objective: 'peak',
  optimizer: 'lie-adam',
  gradientClip: null,
  steps: 200,
  learningRate: 0.02,
  schedule: 'cosine',
} as const;

async function* learnOnCaptured(
  bench: Workbench,
  blocks: readonly Int32Array[],
  initial: SeamState,
  settings: Omit<DistributionOptions, 'seams' | 'residualGroup'>,
  signal?: AbortSignal,
): AsyncGenerator<LearnStep, SeamState> {
  const { cache, experiment } = bench;
  const some = blocksToCapture(blocks);
  const network = capturedNetwork(bench);
  const sample = {
    seed: experiment.calibration.seed,
    massiveWeight: experiment.rotation.learning.massiveWeight,
  };
  const captured = await captureActivations(cache, network, some, sample, signal);
  const { input } = quantizersOf(
    experiment.quantization,
    experiment.rotation,
    network.checkpoint.config,
  ).quantizers;
  const options = {
    ...settings,
    seams: learnedSeams(experiment),
    residualGroup: input.group,
    symmetric: symmetricSeams(experiment.quantization),
  };
  return yield* learnFromActivations(cache, initial, captured, options, signal);
}

async function lastState(steps: AsyncGenerator<LearnStep, SeamState>): Promise<SeamState> {
  for (;;) {
    const next = await steps.next();
    if (next.done) return next.value;
  }
}

function learnOptions(bench: Workbench, network: Network, blocks: readonly Int32Array[]): LearnOptions {
  const { calibration, rotation } = bench.experiment;
  const { learning } = rotation;
  const fitting = Math.max(1, Math.floor(network.memory.tokensAtOnce / (blocks[0]?.length ?? 1)));
  const wanted = learning.microBatch ?? fitting;
  // A limit on memory goes before a wish for large micro-batches.
  const microBatch = bench.experiment.memoryLimit === null ? wanted : Math.min(wanted, fitting);
  return {
    steps: learning.steps,
    learningRate: learning.learningRate,
    schedule: learning.schedule,
    batchSize: learning.batchSize,
    microBatch: Math.min(learning.batchSize, microBatch),
    gradientClip: learning.gradientClip,
    optimizer: learning.optimizer,
    weightClipEvery: learning.weightClipEvery,
    seams: learnedSeams(bench.experiment),
    dataSeed: calibration.seed,
  };
}
