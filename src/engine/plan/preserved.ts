import { type PreservationEvent, type RunEvent, timed } from '../../protocol/events.ts';
import { comparePreservation } from '../evaluate/preservation.ts';
import type { SeamState } from '../network/seams.ts';
import { mappedNetwork, plainNetwork } from './networks.ts';
import { phase } from './phases.ts';
import type { StepContext } from './step.ts';

/** Compares the full-precision network with and without maps on the first sequence, and warns where they differ. */
export async function* checkPreserved(
  { bench, seconds, signal }: StepContext,
  state: SeamState,
  [ids = new Int32Array()]: readonly Int32Array[],
  where: string,
): AsyncGenerator<RunEvent, void> {
  const compared = yield* phase('preserve-check', seconds, () =>
    comparePreservation(plainNetwork(bench), mappedNetwork(bench, state), ids, signal),
  );
  const event: PreservationEvent = timed({ type: 'preservation', where, ...compared });
  yield event;
  if (event.relative <= event.tolerance) return;
  const centring = bench.experiment.rotation.embeddingCentring;
  yield timed({
    type: 'warning',
    message: `The ${where} change the full-precision logits by ${event.relative.toExponential(1)} of their size; rounding explains ${event.tolerance.toExponential(1)}.`,
    hint: centring
      ? 'rotation.embeddingCentring is on: it changes the function of RMSNorm networks.'
      : 'The results below may not belong to this model: please report this.',
  });
}
