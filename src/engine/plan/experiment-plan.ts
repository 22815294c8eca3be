import type { ResolvedExperiment } from '../../config/index.ts';
import type { Variant } from '../../protocol/events.ts';
import type { ActivationsFile, PerplexityResult, TaskResult } from '../../runs/index.ts';
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
import { perplexityStep, type Quantized, statisticsStep } from './steps/measures.ts';
import { tasksStep } from './steps/tasks.ts';
import { type Blocks, type Texts, textSteps, textStepsAtOnce } from './steps/texts.ts';
import { trainingStep } from './steps/training.ts';
import { weightsStep } from './steps/weights.ts';

/** The steps of learning, rounding and measuring, of which a job runs those that it wants. */
export interface OptimizePlan {
  readonly learned: Step<Learned>;
  /** Checks of the learned maps. */
  readonly preserved: Step<null>;
  readonly perplexity: Step<PerplexityResult[]>;
  /** Null where the experiment names no tasks. */
  readonly tasks: Step<TaskResult[]> | null;
  readonly statistics: Step<ActivationsFile>;
}

/** The steps of measuring alone. */
export type EvaluatePlan = Pick<OptimizePlan, 'perplexity' | 'tasks'>;

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
    ...measured(experiment, BOTH, evaluation, { maps, weights, trained }),
    statistics: statisticsStep(experiment, maps, calibration),
  };
}

/** Perplexity and tasks with rotations that are drawn, or were learned before. @param path of learned ones. */
export async function planEvaluate(
  experiment: ResolvedExperiment,
  scaling: ScalingMethod | null,
  variants: readonly Variant[],
  path: string | null,
): Promise<EvaluatePlan> {
  const { calibration, evaluation } = textSteps(experiment);
  if (!variants.includes('quantized')) return measured(experiment, variants, evaluation, null);
  const maps = scaled(experiment, scaling, givenStep(experiment, path), calibration);
  const trained = await trainingStep(experiment);
  const weights = await weightsStep(experiment, maps, calibration, trained);
  return measured(experiment, variants, evaluation, { maps, weights, trained });
}

const BOTH: readonly Variant[] = ['full-precision', 'quantized'];

function measured(
  experiment: ResolvedExperiment,
  variants: readonly Variant[],
  evaluation: Step<Texts>,
  quantized: Quantized | null,
): EvaluatePlan {
  return {
    perplexity: perplexityStep(experiment, variants, evaluation, quantized),
    tasks: tasksStep(experiment, variants, quantized),
  };
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

/** The maps of rotations, with the channel scales of a method. */
export function scaled(
  experiment: ResolvedExperiment,
  scaling: ScalingMethod | null,
  maps: Step<SeamState>,
  calibration: Step<Blocks>,
): Step<SeamState> {
  return scaling ? scaleStep(experiment, scaling, maps, calibration) : maps;
}
