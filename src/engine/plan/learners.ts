/** The learner of an experiment: through the quantized network, or on captured activations. */
import { isThroughNetwork } from '../../config/index.ts';
import { blocksToCapture, type CapturedActivations, captureActivations } from '../calibration/capture.ts';
import { NEXT_TOKEN } from '../calibration/gradient-step.ts';
import type { LayerQuantizers } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';
import { quantizersOf } from '../network/quantizers.ts';
import type { SeamState } from '../network/seams.ts';
import { TopDivergence } from '../training/top-divergence.ts';
import {
  type DistributionOptions,
  learnFromActivations,
} from '../transform/learning/distribution-learner.ts';
import { type LearnOptions, type LearnStep, learnRotations } from '../transform/learning/learner.ts';
import { learnByProcrustes } from '../transform/learning/procrustes-learner.ts';
import { learnedSeams, mapsOfLayer, symmetricSeams } from './experiment-maps.ts';
import type { LearningCheckpoint } from './learning-checkpoint.ts';
import { capturedNetwork, learningNetwork, plainNetwork } from './networks.ts';
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
  if (objective === 'procrustes') return yield* alternateOnCaptured(bench, blocks, initial, signal);
  if (!isThroughNetwork(objective)) {
    return yield* learnOnCaptured(bench, blocks, initial, { ...learning, objective }, signal);
  }
  const network = learningNetwork(bench);
  const loss = objective === 'kl-top' ? new TopDivergence(bench.cache, plainNetwork(bench)) : NEXT_TOKEN;
  const options = { ...learnOptions(bench, network, blocks), loss };
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
  settings: Omit<DistributionOptions, 'seams' | 'residualGroup' | 'mapsOfLayer'>,
  signal?: AbortSignal,
): AsyncGenerator<LearnStep, SeamState> {
  const { cache, experiment } = bench;
  const { captured, quantizers } = await capturedOf(bench, blocks, signal);
  const options = {
    ...settings,
    seams: learnedSeams(experiment),
    residualGroup: quantizers.input.group,
    mapsOfLayer: mapsOfLayer(experiment, bench.checkpoint.config),
    symmetric: symmetricSeams(experiment.quantization),
  };
  return yield* learnFromActivations(cache, initial, captured, options, signal);
}

async function* alternateOnCaptured(
  bench: Workbench,
  blocks: readonly Int32Array[],
  initial: SeamState,
  signal?: AbortSignal,
): AsyncGenerator<LearnStep, SeamState> {
  const { cache, experiment } = bench;
  const { captured, quantizers } = await capturedOf(bench, blocks, signal);
  const { input, values, outputInput } = quantizers;
  const options = {
    steps: experiment.rotation.learning.steps,
    seams: learnedSeams(experiment),
    // Rows of heads stand alone: each is a group.
    quantizers: { residual: input, value: { ...(values.bits < 16 ? values : outputInput), group: 0 } },
  };
  return yield* learnByProcrustes(cache, initial, captured, options, signal);
}

/** What learning without the network reads, and the quantizers that read it when deployed. */
async function capturedOf(
  bench: Workbench,
  blocks: readonly Int32Array[],
  signal?: AbortSignal,
): Promise<{ captured: CapturedActivations; quantizers: LayerQuantizers }> {
  const { cache, experiment } = bench;
  const { quantization, rotation, calibration } = experiment;
  const network = capturedNetwork(bench);
  const sample = {
    seed: calibration.seed,
    massiveWeight: rotation.learning.massiveWeight,
    headsApart: mapsOfLayer(experiment, network.checkpoint.config) > 1,
  };
  const captured = await captureActivations(cache, network, blocksToCapture(blocks), sample, signal);
  return { captured, quantizers: quantizersOf(quantization, rotation, network.checkpoint.config).quantizers };
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
