import type { SeamName } from '../../../protocol/block.ts';
import { throwIfCancelled, UserError } from '../../../protocol/errors.ts';
import { type GradientSums, lossAndGradients, type TokenLoss } from '../../calibration/gradient-step.ts';
import { learningRateAt, type Schedule } from '../../calibration/schedule.ts';
import { batchOfStep } from '../../calibration/text.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { Network } from '../../network/network.ts';
import { type SeamState, seamsIn } from '../../network/seams.ts';
import { clipGlobalNorm } from './gradient-clip.ts';
import {
  type Moments,
  type RotationOptimizer,
  type RotationUpdate,
  updateRotations,
} from './rotation-update.ts';

/** The next step depends on these beside the maps. */
export interface LearnerMemory {
  /** Moving averages of LieAdam by seam; null with Cayley SGD. */
  readonly moments: Readonly<Partial<Record<SeamName, Moments>>> | null;
  /** The maps whose weights the clip ratios in use were searched on; null where every step searches. */
  readonly searchedAt: SeamState | null;
}

export const NO_MEMORY: LearnerMemory = { moments: null, searchedAt: null };

export interface LearnOptions {
  readonly optimizer: RotationOptimizer;
  readonly steps: number;
  readonly learningRate: number;
  readonly schedule: Schedule;
  readonly batchSize: number;
  readonly microBatch: number;
  /** Largest global norm of the gradient over all maps; null for no clipping. */
  readonly gradientClip: number | null;
  /** Steps that a search of the weights' clip ratios serves; 1 searches at every step. */
  readonly weightClipEvery: number;
  /** Seams whose maps move. */
  readonly seams: readonly SeamName[];
  readonly dataSeed: number;
  /** Made small; absent: cross-entropy of the next token. */
  readonly loss?: TokenLoss;
}

/** One step: its measurements, and the maps after it. */
export interface LearnStep {
  /** Steps done, from 1. */
  readonly step: number;
  readonly loss: number;
  readonly tokens: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** Largest step that the Cayley iteration allows for each map, 1 / ‖W‖₁; empty for other optimizers. */
  readonly stepCaps: Readonly<Partial<Record<SeamName, readonly number[]>>>;
  readonly orthogonalityError: number;
  readonly seconds: number;
  readonly state: SeamState;
  readonly memory: LearnerMemory;
}

/**
 * Learning through the quantized network: each step takes its loss on one batch, clips the gradient's global
 * norm (Cayley SGD), and moves every learned map on the orthogonal matrices. Nothing but the maps, the step
 * number and the learner's memory carries over from step to step, so a run resumed from them continues to the same bits.
 */
export async function* learnRotations(
  cache: ProgramCache,
  network: Network,
  start: { readonly step: number; readonly state: SeamState; readonly memory?: LearnerMemory },
  blocks: readonly Int32Array[],
  options: LearnOptions,
  signal?: AbortSignal,
): AsyncGenerator<LearnStep, SeamState> {
  let { state, memory = NO_MEMORY } = start;
  for (let step = start.step; step < options.steps; step++) {
    throwIfCancelled(signal);
    const began = performance.now();
    const searchedAt = ratioSource(step, state, memory, options);
    network.setMaps(state, searchedAt ?? state);
    const batch = batchOfStep(blocks, step, options.batchSize, options.dataSeed);
    const found = await lossAndGradients(network, batch, options.microBatch, signal, options.loss);
    const { loss, tokens } = found;
    const clipped = clip(found.gradients, options);
    checkFinite(step + 1, loss, clipped.norm);
    const learningRate = learningRateAt(options.schedule, options.learningRate, step, options.steps);
    const moved = await move(
      cache,
      options.optimizer,
      state,
      clipped,
      memory,
      { step, learningRate },
      signal,
    );
    state = moved.state;
    memory = { moments: moved.moments, searchedAt };
    yield {
      step: step + 1,
      loss,
      tokens,
      gradientNorm: clipped.norm,
      learningRate,
      stepCaps: moved.stepCaps,
      orthogonalityError: moved.orthogonalityError,
      seconds: (performance.now() - began) / 1000,
      state,
      memory,
    };
  }
  return state;
}

/** The maps that give this step its clip ratios: its own every `weightClipEvery` steps, else those of the last search. */
function ratioSource(
  step: number,
  state: SeamState,
  memory: LearnerMemory,
  { weightClipEvery }: LearnOptions,
): SeamState | null {
  if (weightClipEvery === 1) return null;
  return step % weightClipEvery === 0 ? state : (memory.searchedAt ?? state);
}

/** Rotations after a step with NaN would be lost: stop before it, the checkpoint holds the last good ones. */
function checkFinite(step: number, loss: number, gradientNorm: number): void {
  if (Number.isFinite(loss) && Number.isFinite(gradientNorm)) return;
  throw new UserError(
    'learn/diverged',
    `Step ${step} gave a loss of ${loss} and a gradient norm of ${gradientNorm}: learning diverged, or an activation overflowed.`,
    'Lower rotation.learning.learningRate, keep gradientClip at 1, or start from another seed; the rotations before this step are in the checkpoint.',
  );
}

interface ClippedGradients {
  readonly maps: Readonly<Partial<Record<SeamName, readonly Float32Array[]>>>;
  /** Global norm before clipping. */
  readonly norm: number;
}

function clip(gradients: GradientSums, { seams, optimizer, gradientClip }: LearnOptions): ClippedGradients {
  const entries = seamsIn(gradients)
    .filter((seam) => seams.includes(seam))
    .map((seam) => [seam, (gradients[seam] ?? []).map((sum) => Float32Array.from(sum))] as const);
  // LieAdam does not look at the gradient's size.
  const limit = optimizer === 'cayley-sgd' ? gradientClip : null;
  const norm = clipGlobalNorm(
    entries.flatMap(([, terms]) => terms),
    limit ?? Number.POSITIVE_INFINITY,
  );
  return { maps: Object.fromEntries(entries), norm };
}

type Moved = Pick<LearnStep, 'state' | 'stepCaps' | 'orthogonalityError'> & Pick<LearnerMemory, 'moments'>;

async function move(
  cache: ProgramCache,
  optimizer: RotationOptimizer,
  state: SeamState,
  gradients: ClippedGradients,
  { moments }: LearnerMemory,
  at: { readonly step: number; readonly learningRate: number },
  signal?: AbortSignal,
): Promise<Moved> {
  const updates: [SeamName, RotationUpdate][] = [];
  for (const seam of seamsIn(gradients.maps)) {
    const [maps, terms] = [state[seam], gradients.maps[seam]];
    if (!maps || !terms) continue;
    const past = moments?.[seam] ?? null;
    updates.push([seam, await updateRotations(cache, optimizer, maps, terms, past, at, signal)]);
  }
  const bySeam = <T>(pick: (update: RotationUpdate) => T | null): Partial<Record<SeamName, T>> =>
    Object.fromEntries(
      updates.flatMap(([seam, update]) => {
        const picked = pick(update);
        return picked === null ? [] : [[seam, picked]];
      }),
    );
  return {
    state: { ...state, ...bySeam(({ matrices }) => matrices) },
    moments: optimizer === 'lie-adam' ? bySeam((update) => update.moments) : null,
    stepCaps: bySeam(({ caps }) => caps),
    orthogonalityError: Math.max(0, ...updates.map(([, update]) => update.orthogonalityError)),
  };
}
