import { throwIfCancelled, UserError } from '../../protocol/errors.ts';
import type { Network } from '../network/network.ts';
import type { ProgramCache } from '../network/programs.ts';
import { clipGlobalNorm } from '../rotation/gradient-clip.ts';
import { learningRateAt, type Schedule } from '../rotation/schedule.ts';
import { batchOfStep } from './calibration.ts';
import { cayleyStep } from './cayley-sgd.ts';
import { lossAndGradients, type RotationGradients } from './gradient-step.ts';

/** The rotations of a network while they are learned; null where the network has none. */
export interface RotationState {
  readonly r1: Float32Array | null;
  readonly r2: readonly Float32Array[] | null;
}

export interface LearnOptions {
  readonly steps: number;
  readonly learningRate: number;
  readonly schedule: Schedule;
  readonly batchSize: number;
  readonly microBatch: number;
  /** Largest global norm of the gradient over all rotations; null for no clipping. */
  readonly gradientClip: number | null;
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
}

/**
 * Cross-entropy × Cayley SGD: each step takes the loss of the quantized network on one batch, clips the gradient's
 * global norm, and moves every learned rotation along the Stiefel manifold. Nothing but the rotations and the step
 * number carries over from step to step, so a run resumed from them continues to the same bits.
 */
export async function* learnRotations(
  cache: ProgramCache,
  network: Network,
  start: { readonly step: number; readonly state: RotationState },
  blocks: readonly Int32Array[],
  options: LearnOptions,
  signal?: AbortSignal,
): AsyncGenerator<LearnStep, RotationState> {
  let state = start.state;
  for (let step = start.step; step < options.steps; step++) {
    throwIfCancelled(signal);
    const began = performance.now();
    network.setRotations(state);
    const batch = batchOfStep(blocks, step, options.batchSize, options.dataSeed);
    const { loss, tokens, gradients } = await lossAndGradients(network, batch, options.microBatch, signal);
    const clipped = clip(gradients, options);
    checkFinite(step + 1, loss, clipped.norm);
    const learningRate = learningRateAt(options.schedule, options.learningRate, step, options.steps);
    const moved = await move(cache, state, clipped, learningRate, signal);
    state = moved.state;
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
    };
  }
  return state;
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
  const norm = clipGlobalNorm(all, options.gradientClip ?? Number.POSITIVE_INFINITY);
  return { r1, r2, norm };
}

async function move(
  cache: ProgramCache,
  state: RotationState,
  gradients: ClippedGradients,
  learningRate: number,
  signal?: AbortSignal,
): Promise<{ state: RotationState } & Pick<LearnStep, 'stepCap' | 'orthogonalityError'>> {
  const r1 =
    gradients.r1 && state.r1
      ? await cayleyStep(cache, [state.r1], [gradients.r1], learningRate, signal)
      : null;
  const r2 =
    gradients.r2 && state.r2 ? await cayleyStep(cache, state.r2, gradients.r2, learningRate, signal) : null;
  return {
    state: { r1: r1?.matrices[0] ?? state.r1, r2: r2?.matrices ?? state.r2 },
    stepCap: { r1: r1?.caps[0] ?? null, r2Max: r2 ? Math.max(...r2.caps) : null },
    orthogonalityError: Math.max(r1?.orthogonalityError ?? 0, r2?.orthogonalityError ?? 0),
  };
}
