import type { StepEvent } from '../../../protocol/events.ts';
import type { StepColumns } from '../../../protocol/panels/training.ts';
import { finite } from '../finite.ts';

/** Points in a line that a panel can show apart; longer runs are thinned out. */
const MAX_POINTS = 1000;

/** The steps as columns. JSON writes numbers that are not finite as null: so do we. */
export function stepColumns(steps: readonly StepEvent[]): StepColumns {
  const thin = thinned(steps);
  const column = (value: (step: StepEvent) => number | null) => thin.map((step) => finite(value(step)));
  return {
    step: thin.map(({ step }) => step),
    loss: column(({ loss }) => loss),
    gradientNorm: column(({ gradientNorm }) => gradientNorm),
    learningRate: column(({ learningRate }) => learningRate),
    stepCapR1: column(({ stepCap }) => stepCap.r1),
    stepCapR2: column(({ stepCap }) => stepCap.r2Max),
    orthogonalityError: column(({ orthogonalityError }) => orthogonalityError),
    distanceR1: column(({ distanceFromStart }) => distanceFromStart.r1),
    distanceR2: column(({ distanceFromStart }) => distanceFromStart.r2),
    seconds: column(({ seconds }) => seconds),
  };
}

/** Every k-th step, and always the last and those whose loss is not a number. */
function thinned(steps: readonly StepEvent[]): readonly StepEvent[] {
  const stride = 2 ** Math.ceil(Math.log2(Math.max(1, steps.length / MAX_POINTS)));
  if (stride === 1) return steps;
  return steps.filter(
    ({ loss }, index) => index % stride === 0 || index === steps.length - 1 || finite(loss) === null,
  );
}
