import { type ResolvedExperiment, roundingOf, scalingOf } from '../../config/index.ts';
import { loadMethod, type RoundingMethod, type ScalingMethod } from '../methods/index.ts';

/** The methods of an experiment. */
export interface Methods {
  /** Scales channels; null where none does. */
  readonly scaling: ScalingMethod | null;
  /** Rounds weights; null where they stay as they are. */
  readonly rounding: RoundingMethod | null;
}

export async function methodsOf(experiment: ResolvedExperiment): Promise<Methods> {
  const [scaling, rounding] = [scalingOf(experiment), roundingOf(experiment.quantization)];
  return {
    scaling: scaling && (await loadMethod(scaling.name, 'scaling')),
    rounding: rounding && (await loadMethod(rounding.name, 'rounding')),
  };
}
