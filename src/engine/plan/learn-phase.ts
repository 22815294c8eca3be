import { type RunEvent, type StepEvent, timed } from '../../protocol/events.ts';
import type { LossSummary, Run } from '../../runs/index.ts';
import { blocksToCapture, captureActivations } from '../calibration/capture.ts';
import type { Network } from '../network/network.ts';
import {
  type DistributionOptions,
  learnFromActivations,
} from '../transform/learning/distribution-learner.ts';
import {
  type LearnOptions,
  type LearnStep,
  learnRotations,
  type RotationState,
} from '../transform/learning/learner.ts';
import { type LearningCheckpoint, writeCheckpoint } from './learning-checkpoint.ts';
import { capturedNetwork, learningNetwork } from './networks.ts';
import type { Workbench } from './workbench.ts';

/** Checkpoints may take this share of the time, and are written at least every minute. */
const CHECKPOINT_SHARE = 0.05;
const CHECKPOINT_SECONDS = 60;

export interface Learned {
  readonly state: RotationState;
  readonly loss: LossSummary;
  readonly steps: number;
}

/** Learns from a checkpoint on, with a `step` event per step; the state after the last whole step is always on disk. */
export async function* learnPhase(
  bench: Workbench,
  run: Run,
  blocks: readonly Int32Array[],
  initial: RotationState,
  from: LearningCheckpoint,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, Learned> {
  const { steps, objective } = bench.experiment.rotation.learning;
  // Learning on captured activations takes seconds and carries an optimizer state: it starts over, to the same bits.
  const writer = objective === 'cross-entropy' ? new CheckpointWriter(run.path('checkpoint')) : null;
  const losses = await earlierLosses(run);
  const learning = chooseLearner(bench, blocks, initial, from, signal);
  let last: LearnStep | null = null;
  try {
    for (;;) {
      const next = await learning.next();
      if (next.done) return { state: next.value, loss: summary(losses), steps };
      last = next.value;
      losses.push(last.loss);
      yield stepEvent(last, steps, initial);
      if (writer?.isDue(last, steps)) {
        await writer.write(last);
        yield timed({ type: 'checkpoint', step: last.step });
      }
    }
  } finally {
    // Cancelled or left in the middle: keep the steps that were finished.
    if (last) await writer?.write(last);
  }
}

/** By the experiment's objective: through the quantized network, or on captured activations. */
async function* chooseLearner(
  bench: Workbench,
  blocks: readonly Int32Array[],
  initial: RotationState,
  from: LearningCheckpoint,
  signal?: AbortSignal,
): AsyncGenerator<LearnStep, RotationState> {
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
const WARM_START = {
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
  initial: RotationState,
  settings: Omit<DistributionOptions, 'learnR1' | 'learnR2'>,
  signal?: AbortSignal,
): AsyncGenerator<LearnStep, RotationState> {
  const { calibration, rotation } = bench.experiment;
  const some = blocksToCapture(blocks);
  const captured = await captureActivations(
    bench.cache,
    capturedNetwork(bench),
    some,
    calibration.seed,
    signal,
  );
  const learned = { learnR1: rotation.r1 === 'learned', learnR2: rotation.r2 === 'learned' };
  return yield* learnFromActivations(bench.cache, initial, captured, { ...settings, ...learned }, signal);
}

async function lastState(steps: AsyncGenerator<LearnStep, RotationState>): Promise<RotationState> {
  for (;;) {
    const next = await steps.next();
    if (next.done) return next.value;
  }
}

function learnOptions(bench: Workbench, network: Network, blocks: readonly Int32Array[]): LearnOptions {
  const { calibration, rotation } = bench.experiment;
  const { learning } = rotation;
  const fitting = Math.max(1, Math.floor(network.memory.tokensAtOnce / blocks[0]!.length));
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
    learnR1: rotation.r1 === 'learned',
    learnR2: rotation.r2 === 'learned',
    dataSeed: calibration.seed,
  };
}

/** Writes the state of finished steps; each step is written at most once. */
class CheckpointWriter {
  readonly #folder: string;
  #lastTime = performance.now();
  #cost = 0;
  #written = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  isDue({ step }: LearnStep, steps: number): boolean {
    const since = (performance.now() - this.#lastTime) / 1000;
    return step === steps || since >= CHECKPOINT_SECONDS || since * CHECKPOINT_SHARE >= this.#cost;
  }

  async write(checkpoint: LearningCheckpoint): Promise<void> {
    if (checkpoint.step === this.#written) return;
    const began = performance.now();
    await writeCheckpoint(this.#folder, checkpoint);
    this.#lastTime = performance.now();
    this.#cost = (this.#lastTime - began) / 1000;
    this.#written = checkpoint.step;
  }
}

/** Losses of the steps before a resume. */
async function earlierLosses(run: Run): Promise<number[]> {
  const events = await run.readEvents();
  return events.filter((event): event is StepEvent => event.type === 'step').map(({ loss }) => loss);
}

function summary(losses: readonly number[]): LossSummary {
  return { first: losses[0]!, last: losses.at(-1)! };
}

function stepEvent({ state, memory: _, ...step }: LearnStep, of: number, initial: RotationState): StepEvent {
  const r2 = state.r2?.map((matrix, layer) => distance(matrix, initial.r2![layer]!)) ?? null;
  return timed({
    type: 'step',
    ...step,
    of,
    distanceFromStart: {
      r1: state.r1 && distance(state.r1, initial.r1!),
      r2: r2 && r2.reduce((sum, value) => sum + value, 0) / r2.length,
    },
  });
}

/** ‖A − B‖_F / ‖B‖_F. */
function distance(a: Float32Array, b: Float32Array): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < a.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}
