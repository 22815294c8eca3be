import { float32 } from '../../../protocol/tensor.ts';
import { Graph } from '../../graph/graph.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache, ProgramKind } from '../../graph/program-cache.ts';
import { cayleyStep, driftOf, scalarOf, stack, unstack } from './cayley-sgd.ts';
import { lieAdamStep, stepInputs, stepTensors } from './lie-adam.ts';

export type RotationOptimizer = 'cayley-sgd' | 'lie-adam';

/** LieAdam's moving averages for N rotations of one size: m [N, n, n] and v [N]. */
export interface Moments {
  readonly m: Float32Array;
  readonly v: Float32Array;
}

/** N rotations of one size after a step. */
export interface RotationUpdate {
  readonly matrices: readonly Float32Array[];
  /** Null for an optimizer that carries nothing. */
  readonly moments: Moments | null;
  /** 1/‖W‖₁ per rotation where the step is capped by it (Cayley). */
  readonly caps: readonly number[] | null;
  /** max |RᵀR − I|. */
  readonly orthogonalityError: number;
}

/**
 * Moves rotations against their gradient by one step of the optimizer.
 * @param step counted from 0. @param moments of the step before; null at the first.
 */
export async function updateRotations(
  cache: ProgramCache,
  optimizer: RotationOptimizer,
  rotations: readonly Float32Array[],
  gradients: readonly Float32Array[],
  moments: Moments | null,
  { step, learningRate }: { readonly step: number; readonly learningRate: number },
  signal?: AbortSignal,
): Promise<RotationUpdate> {
  if (optimizer === 'cayley-sgd') {
    return { ...(await cayleyStep(cache, rotations, gradients, learningRate, signal)), moments: null };
  }
  const count = rotations.length;
  const n = Math.sqrt(rotations[0]?.length ?? 0);
  const dims = [count, n, n];
  const program = await cache.get(LIE_ADAM, { count, n });
  const out = await program.run(
    {
      r: stack(dims, rotations),
      g: stack(dims, gradients),
      m: float32(dims, moments?.m ?? new Float32Array(count * n * n)),
      v: float32([count, 1, 1], moments?.v ?? new Float32Array(count)),
      ...stepTensors(step, learningRate),
    },
    signal,
  );
  return {
    matrices: unstack(out.next, count),
    moments: { m: out.nextM.data, v: out.nextV.data },
    caps: null,
    orthogonalityError: scalarOf(out.drift),
  };
}

const LIE_ADAM: ProgramKind<
  { readonly count: number; readonly n: number },
  Record<'next' | 'nextM' | 'nextV' | 'drift', Reals>
> = {
  name: 'lie-adam',
  build({ count, n }) {
    const graph = new Graph();
    const dims = [count, n, n];
    const inputs = { m: graph.input('m', dims), v: graph.input('v', [count, 1, 1]) };
    const { r, state } = lieAdamStep(
      graph.input('r', dims),
      graph.input('g', dims),
      inputs,
      stepInputs(graph),
    );
    return { graph, outputs: { next: r, nextM: state.m, nextV: state.v, drift: driftOf(r) } };
  },
};
