import type { Learning } from '../../../config/index.ts';

/** What an experiment says of the curves of its runs. */
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

/** Of a run whose experiment cannot be read. */
export const NO_LEARNING: LearningFacts = {
  plannedSteps: 0,
  gradientClip: null,
  lossInNats: true,
  cayley: true,
};
