import type { ResolvedExperiment } from '../../config/index.ts';
import type { Variant } from '../../protocol/events.ts';
import type { ActivationsFile, PerplexityResult } from '../../runs/index.ts';
import type { ScalingMethod } from '../methods/index.ts';
import type { SeamState } from '../network/seams.ts';
import type { Step } from './step.ts';
import {
  givenStep,
  type Learned,
  learnedMaps,
  learnStep,
  preservedStep,
  scaleStep,
  startStep,
} from './steps/maps.ts';
import { perplexityStep, statisticsStep } from './steps/measures.ts';
import { type Blocks, textSteps, textStepsAtOnce } from './steps/texts.ts';
import { trainingStep } from './steps/training.ts';
import { weightsStep } from './steps/weights.ts';

/** The steps of learning, rounding and measuring, of which a job runs those that it wants. */
export interface OptimizePlan {
  readonly learned: Step<Learned>;
  /** Checks of the learned maps. */
  readonly preserved: Step<null>;
  readonly perplexity: Step<PerplexityResult[]>;
  readonly statistics: Step<ActivationsFile>;
}

/** Learns the rotations marked `learned`, then rounds, evaluates and looks at activations. */
export async function planOptimize(
  experiment: ResolvedExperiment,
  scaling: ScalingMethod | null,
): Promise<OptimizePlan> {
  const { calibration, evaluation } = textStepsAtOnce(experiment);
  const learned = learnStep(experiment, startStep(experiment), calibration);
  const rotations = learnedMaps(learned);
  const maps = scaled(experiment, scaling, rotations, calibration);
  // No rotation is learned for weights that are trained: `validateTogether` refuses both together.
  const trained = null;
  const weights = await weightsStep(experiment, maps, calibration, trained);
  return {
    learned,
    preserved: preservedStep(experiment, 'learned rotations', rotations, calibration),
    perplexity: perplexityStep(experiment, ['full-precision', 'quantized'], evaluation, {
      maps,
      weights,
      trained,
    }),
    statistics: statisticsStep(experiment, maps, calibration),
  };
}

/** Perplexity with rotations that are drawn, or were learned before. @param path of learned ones. */
export async function planEvaluate(
  experiment: ResolvedExperiment,
  scaling: ScalingMethod | null,
  variants: readonly Variant[],
  path: string | null,
): Promise<Step<PerplexityResult[]>> {
  const { calibration, evaluation } = textSteps(experiment);
  if (!variants.includes('quantized')) return perplexityStep(experiment, variants, evaluation, null);
  const maps = scaled(experiment, scaling, givenStep(experiment, path), calibration);
  const trained = await trainingStep(experiment);
  const weights = await weightsStep(experiment, maps, calibration, trained);
  return perplexityStep(experiment, variants, evaluation, { maps, weights, trained });
}

/** Activation statistics with rotations that are drawn, or were learned before. */
export function planInspect(
  experiment: ResolvedExperiment,
  scaling: ScalingMethod | null,
  path: string | null,
): Step<ActivationsFile> {
  const { calibration } = textSteps(experiment);
  const maps = scaled(experiment, scaling, givenStep(experiment, path), calibration);
  return statisticsStep(experiment, maps, calibration);
}

function scaled(
  experiment: ResolvedExperiment,
  scaling: ScalingMethod | null,
  maps: Step<SeamState>,
  calibration: Step<Blocks>,
): Step<SeamState> {
  return scaling ? scaleStep(experiment, scaling, maps, calibration) : maps;
}
