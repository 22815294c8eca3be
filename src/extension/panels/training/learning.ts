import type { Learning } from '../../../config/index.ts';
import type { Objective } from '../../../protocol/panels/training.ts';

/** Settings of an experiment that its curves depend on. */
export interface LearningFacts {
  readonly plannedSteps: number;
  /** Null where gradients are not clipped: Adam normalises them itself. */
  readonly gradientClip: number | null;
  readonly objective: Objective;
  /** Steps by the Cayley transform have a cap. */
  readonly cayley: boolean;
}

export function learningFacts({ steps, objective, optimizer, gradientClip }: Learning): LearningFacts {
  const cayley = optimizer === 'cayley-sgd';
  return {
    plannedSteps: steps,
    gradientClip: cayley ? gradientClip : null,
    objective,
    cayley,
  };
}

/** Stands in for an experiment that cannot be read. */
export const NO_LEARNING: LearningFacts = {
  plannedSteps: 0,
  gradientClip: null,
  objective: 'cross-entropy',
  cayley: true,
};
