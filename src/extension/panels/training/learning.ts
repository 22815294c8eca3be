import type { Learning } from '../../../config/index.ts';

/** Settings of an experiment that its curves depend on. */
export interface LearningFacts {
  readonly plannedSteps: number;
  /** Null where gradients are not clipped: Adam normalises them itself. */
  readonly gradientClip: number | null;
  /** Other objectives than cross-entropy have no unit. */
  readonly lossInNats: boolean;
  /** Steps by the Cayley transform have a cap. */
  readonly cayley: boolean;
}

export function learningFacts({ steps, objective, optimizer, gradientClip }: Learning): LearningFacts {
  const cayley = optimizer === 'cayley-sgd';
  return {
    plannedSteps: steps,
    gradientClip: cayley ? gradientClip : null,
    lossInNats: objective === 'cross-entropy',
    cayley,
  };
}

/** Stands in for an experiment that cannot be read. */
export const NO_LEARNING: LearningFacts = {
  plannedSteps: 0,
  gradientClip: null,
  lossInNats: true,
  cayley: true,
};
