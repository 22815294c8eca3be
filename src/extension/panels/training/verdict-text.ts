import { fill } from '../../../protocol/panels/fill.ts';
import type { VerdictText } from '../../../protocol/panels/training.ts';
import type { TrainingStrings } from '../../../protocol/panels/training-strings.ts';
import type { Verdict, VerdictReason } from './verdict.ts';

/** A verdict in the person's language. */
export function verdictText({ kind, reason }: Verdict, strings: TrainingStrings): VerdictText {
  return { kind, word: strings.verdict[kind], reason: reasonText(reason, strings) };
}

function reasonText(reason: VerdictReason, { reason: say }: TrainingStrings): string {
  switch (reason.code) {
    case 'no-steps':
      return say.noSteps;
    case 'few-steps':
      return fill(say.fewSteps, reason.steps, reason.needed);
    case 'falling':
      return fill(say.falling, percent(reason.percent), reason.steps);
    case 'settled':
      return fill(say.settled, percent(reason.percent), reason.steps);
    case 'flat':
      return fill(say.flat, percent(reason.percent), reason.steps);
    case 'noisy':
      return fill(say.noisy, percent(reason.visiblePercent));
    case 'flat-capped':
      return fill(say.flatCapped, percent(reason.percent), reason.steps, percent(reason.ofRate));
    case 'flat-still':
      return fill(say.flatStill, percent(reason.percent), reason.steps);
    case 'rising':
      return fill(say.rising, percent(reason.percent), reason.bestStep);
    case 'not-a-number':
      return fill(say.notANumber, reason.step);
    case 'off-manifold':
      return fill(say.offManifold, reason.error.toExponential(1));
  }
}

/** Two digits are what a loss curve is good for. */
function percent(value: number): string {
  if (Math.abs(value) >= 10) return value.toFixed(0);
  return value.toFixed(Math.abs(value) >= 1 ? 1 : 2);
}
