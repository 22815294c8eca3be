import type { SeamName } from '../../protocol/block.ts';
import { type StepEvent, timed } from '../../protocol/events.ts';
import type { SeamState } from '../network/seams.ts';
import type { LearnStep } from '../transform/learning/learner.ts';

/** The event of a step, whose fields name the maps as SpinQuant does: R1 of the residual, R2 of the values. */
export function stepEvent(
  { state, memory: _, stepCaps, ...step }: LearnStep,
  of: number,
  initial: SeamState,
): StepEvent {
  const distances = (seam: SeamName): number[] =>
    (state[seam] ?? []).map((matrix, index) => distance(matrix, initial[seam]?.[index] ?? matrix));
  const [r1] = distances('residual');
  const r2 = distances('value');
  const { residual, value } = stepCaps;
  return timed({
    type: 'step',
    ...step,
    stepCap: { r1: residual?.[0] ?? null, r2Max: value ? Math.max(...value) : null },
    of,
    distanceFromStart: {
      r1: r1 ?? null,
      r2: r2.length > 0 ? r2.reduce((sum, one) => sum + one, 0) / r2.length : null,
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
