import { throwIfCancelled, UserError } from '../../../protocol/errors.ts';
import { batchOfStep } from '../../calibration/text.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import type { Network } from '../../network/network.ts';
import { clipGlobalNorm } from './gradient-clip.ts';
import { lossAndGradients, type RotationGradients } from './gradient-step.ts';
import {
  type Moments,
  type RotationOptimizer,
  type RotationUpdate,
  updateRotations,
} from './rotation-update.ts';
import { learningRateAt, type Schedule } from './schedule.ts';

/** The rotations of a network while they are learned; null where the network has none. */
export interface RotationState {
  readonly r1: Float32Array | null;
  readonly r2: readonly Float32Array[] | null;
}

/** What the next step depends on beside the rotations. */
export interface LearnerMemory {
  /** LieAdam's moving averages; null with Cayley SGD. */
  readonly moments: { readonly r1: Moments | null; readonly r2: Moments | null } | null;
  /** The rotations whose weights the clip ratios in use were searched on; null where every step searches. */
  readonly searchedAt: RotationState | null;
}

export const NO_MEMORY: LearnerMemory = { moments: null, searchedAt: null };

export interface LearnOptions {
  readonly optimizer: RotationOptimizer;
  readonly steps: number;
  readonly learningRate: number;
  readonly schedule: Schedule;
  readonly batchSize: number;
  readonly microBatch: number;
  /** Largest global norm of the gradient over all rotations; null for no clipping. */
  readonly gradientClip: number | null;
  /** Steps that a search of the weights' clip ratios serves; 1 searches at every step. */
  readonly weightClipEvery: number;
  readonly learnR1: boolean;
  readonly learnR2: boolean;
  readonly dataSeed: number;
}

/** What happened in one step, and the rotations after it. */
export interface LearnStep {
  /** Steps done, from 1. */
  readonly step: number;
  readonly loss: number;
  readonly tokens: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly stepCap: { readonly r1: number | null; readonly r2Max: number | null };
  readonly orthogonalityError: number;
  readonly seconds: number;
  readonly state: RotationState;
  readonly memory: LearnerMemory;
}

/**
 * Learning through the quantized network: each step takes its cross-entropy on one batch, clips the gradient's global
 * norm (Cayley SGD), and moves every learned rotation on the orthogonal matrices. Nothing but the rotations, the step
 * number and the learner's memory carries over from step to step, so a run resumed from them continues to the same bits.
 */
export async function* learnRotations(
  cache: ProgramCache,
  network: Network,
  start: { readonly step: number; readonly state: RotationState; readonly memory?: LearnerMemory },
  blocks: readonly Int32Array[],
  options: LearnOptions,
  signal?: AbortSignal,
): AsyncGenerator<LearnStep, RotationState> {
  let { state, memory = NO_MEMORY } = start;
  for (let step = start.step; step < options.steps; step++) {
    throwIfCancelled(signal);
    const began = performance.now();
    const searchedAt = ratioSource(step, state, memory, options);
    network.setRotations(state, searchedAt ?? state);
    const batch = batchOfStep(blocks, step, options.batchSize, options.dataSeed);
    const { loss, tokens, gradients } = await lossAndGradients(network, batch, options.microBatch, signal);
    const clipped = clip(gradients, options);
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
      stepCap: moved.stepCap,
      orthogonalityError: moved.orthogonalityError,
      seconds: (performance.now() - began) / 1000,
      state,
      memory,
    };
  }
  return state;
}

/** Where this step takes its clip ratios from: its own weights every `weightClipEvery` steps, else those of the last search. */
function ratioSource(
  step: number,
  state: RotationState,
  memory: LearnerMemory,
  { weightClipEvery }: LearnOptions,
): RotationState | null {
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
  readonly r1: Float32Array | null;
  readonly r2: readonly Float32Array[] | null;
  /** Global norm before clipping. */
  readonly norm: number;
}

function clip(gradients: RotationGradients, options: LearnOptions): ClippedGradients {
  const r1 = options.learnR1 && gradients.r1 ? Float32Array.from(gradients.r1) : null;
  const r2 =
    options.learnR2 && gradients.r2 ? gradients.r2.map((gradient) => Float32Array.from(gradient)) : null;
  const all = [...(r1 ? [r1] : []), ...(r2 ?? [])];
  // LieAdam does not look at the gradient's size.
  const limit = options.optimizer === 'cayley-sgd' ? options.gradientClip : null;
  const norm = clipGlobalNorm(all, limit ?? Number.POSITIVE_INFINITY);
  return { r1, r2, norm };
}

async function move(
  cache: ProgramCache,
  optimizer: RotationOptimizer,
  state: RotationState,
  gradients: ClippedGradients,
  { moments }: LearnerMemory,
  at: { readonly step: number; readonly learningRate: number },
  signal?: AbortSignal,
): Promise<
  { state: RotationState } & Pick<LearnerMemory, 'moments'> &
    Pick<LearnStep, 'stepCap' | 'orthogonalityError'>
> {
  const update = (rotations: readonly Float32Array[], terms: readonly Float32Array[], past: Moments | null) =>
    updateRotations(cache, optimizer, rotations, terms, past, at, signal);
  const r1: RotationUpdate | null =
    gradients.r1 && state.r1 ? await update([state.r1], [gradients.r1], moments?.r1 ?? null) : null;
  const r2: RotationUpdate | null =
    gradients.r2 && state.r2 ? await update(state.r2, gradients.r2, moments?.r2 ?? null) : null;
  return {
    state: { r1: r1?.matrices[0] ?? state.r1, r2: r2?.matrices ?? state.r2 },
    moments: optimizer === 'lie-adam' ? { r1: r1?.moments ?? null, r2: r2?.moments ?? null } : null,
    stepCap: { r1: r1?.caps?.[0] ?? null, r2Max: r2?.caps ? Math.max(...r2.caps) : null },
    orthogonalityError: Math.max(r1?.orthogonalityError ?? 0, r2?.orthogonalityError ?? 0),
  };
}
