import { float32 } from '../../../protocol/tensor.ts';
import type { Drift, DriftSums } from '../../calibration/drift.ts';
import type { Reals } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { asymmetricFeedback } from './asymmetric-feedback.ts';
import { DriftedTarget } from './drifted-target.ts';
import { FirstColumn } from './first-column.ts';

/** How rounding makes up for what the layers before hand on in place of what they would at full precision. */
export interface Correction {
  /** The weights that rounded ones come close to, as their quadratic loss has it. @param w [rows, n]. */
  target(w: Reals, signal?: AbortSignal): Promise<Reals>;
  /** What the loop over columns rounds for them. @param w as it is. @param target [rows, n]. */
  start(w: Reals, target: Reals): Reals;
  /** Returns the weights that sweeps bring the rounded ones close to. @param w as it is. @param target [rows, n]. */
  swept(w: Reals, target: Reals, signal?: AbortSignal): Promise<Reals>;
  /** R of {@link asymmetricFeedback}, null for none. */
  readonly feedback: Float32Array | null;
}

export const NO_CORRECTION: Correction = {
  target: async (w) => w,
  start: (_, target) => target,
  swept: async (_, target) => target,
  feedback: null,
};

export interface CorrectionTask {
  readonly target: 'outputs' | 'residual' | 'qronos' | 'gptaq';
  /** Its memory is used up. */
  readonly drift: Drift;
  /** The same of the residual that the layers write to; absent or null for none. Its memory is used up. */
  readonly residualDrift?: Drift | null;
  /** Second moments [n, n]. */
  readonly h: Float32Array;
  /** T of H + λI, its columns in this order; null for their own. */
  readonly factor: { readonly t: Float32Array; readonly order: Int32Array | null };
  /** The share of GPTAQ's correction. */
  readonly alpha: number;
  /** True where sweeps follow. */
  readonly sweeps?: boolean;
}

export async function correctionOf(
  cache: ProgramCache,
  { target, drift, residualDrift = null, h, factor, alpha, sweeps = false }: CorrectionTask,
  signal?: AbortSignal,
): Promise<Correction> {
  if (target === 'gptaq') {
    const swept = sweeps ? sharedDrift(drift, alpha) : null;
    const feedback = await asymmetricFeedback(cache, drift, factor, alpha, signal);
    if (!swept) return { ...NO_CORRECTION, feedback };
    const partly = await DriftedTarget.of(cache, { drift: swept }, factor, signal);
    return { ...NO_CORRECTION, feedback, swept: (w, _, own) => partly.weights(w, own) };
  }
  const first = target === 'qronos' ? FirstColumn.of(drift, h, factor) : null;
  const drifted = await DriftedTarget.of(cache, { drift, residualDrift }, factor, signal);
  return {
    target: (w, own) => drifted.weights(w, own),
    start: (w, wanted) => first?.start(w, wanted) ?? wanted,
    swept: NO_CORRECTION.swept,
    feedback: null,
  };
}

/** α D in memory of its own: GPTAQ's columns make up for so much of the drift, and sweeps behind them as well. */
function sharedDrift({ sum }: DriftSums, alpha: number): DriftSums {
  const { dims, data } = sum;
  return {
    sum: float32(
      dims,
      data.map((value) => alpha * value),
    ),
    spare: float32(dims, new Float32Array(data.length)),
  };
}
