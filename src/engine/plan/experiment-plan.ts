import type { ResolvedExperiment } from '../../config/index.ts';
import type { Variant } from '../../protocol/events.ts';
import type { ActivationsFile, PerplexityResult, TaskResult } from '../../runs/index.ts';
import type { SeamState } from '../network/seams.ts';
import type { Methods } from './experiment-methods.ts';
import type { Step } from './step.ts';
import { clipsStep } from './steps/clips.ts';
import { type Grids, gridsStep, mapsWith } from './steps/grids.ts';
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
import { type Trained, trainingStep } from './steps/training.ts';
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
export async function planOptimize(experiment: ResolvedExperiment, methods: Methods): Promise<OptimizePlan> {
  const { calibration, evaluation } = textStepsAtOnce(experiment);
  const learned = learnStep(experiment, startStep(experiment), calibration);
  const rotations = learnedMaps(learned);
  // No rotation is learned for weights that are trained: `validateTogether` refuses both together.
  const trained = null;
  const { maps, grids } = scaled(experiment, methods, rotations, { calibration, trained });
  const clips = clipsStep(experiment, maps, calibration);
  const weights = await weightsStep(experiment, maps, calibration, { trained, grids, clips });
  return {
    learned,
    preserved: preservedStep(experiment, 'learned rotations', rotations, calibration),
    ...measured(experiment, BOTH, evaluation, { maps, weights, trained, clips }),
    statistics: statisticsStep(experiment, maps, { calibration, trained, clips }),
  };
}

/** How the quantized network of an experiment is made and computed. */
export interface QuantizedForm {
  /** Path of learned rotations; null where they are drawn. */
  readonly path: string | null;
  /** True where it multiplies in whole numbers, false where in float32, `undefined` where in what is faster. */
  readonly integer: boolean | undefined;
}

/** Perplexity and tasks with rotations that are drawn, or were learned before. */
export async function planEvaluate(
  experiment: ResolvedExperiment,
  methods: Methods,
  variants: readonly Variant[],
  form: QuantizedForm,
): Promise<EvaluatePlan> {
  const { evaluation } = textSteps(experiment);
  const quantized = variants.includes('quantized') ? await planQuantized(experiment, methods, form) : null;
  return measured(experiment, variants, evaluation, quantized);
}

/** Plans the quantized network with rotations that are drawn, or were learned before. */
export async function planQuantized(
  experiment: ResolvedExperiment,
  methods: Methods,
  { path, integer }: QuantizedForm,
): Promise<Quantized> {
  const { calibration } = textSteps(experiment);
  const trained = await trainingStep(experiment);
  const { maps, grids } = scaled(experiment, methods, givenStep(experiment, path), { calibration, trained });
  const clips = clipsStep(experiment, maps, calibration);
  const weights = await weightsStep(experiment, maps, calibration, { trained, grids, clips });
  return { maps, weights, trained, clips, integer };
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

/** Statistics with rotations that are drawn, or were learned before, on the weights of the checkpoint. */
export function planInspect(
  experiment: ResolvedExperiment,
  methods: Methods,
  path: string | null,
): Step<ActivationsFile> {
  const { calibration } = textSteps(experiment);
  // Whoever looks at a network does not want to train one first.
  const trained = null;
  const { maps } = scaled(experiment, methods, givenStep(experiment, path), { calibration, trained });
  const clips = clipsStep(experiment, maps, calibration);
  return statisticsStep(experiment, maps, { calibration, trained, clips });
}

/**
 * The maps of rotations, with those of a scaling method and those that a rounding method learns, and the grids of the
 * latter. @param trained the weights that grids are learned for; null for those of the checkpoint.
 */
export function scaled(
  experiment: ResolvedExperiment,
  { scaling, rounding }: Methods,
  rotations: Step<SeamState>,
  { calibration, trained }: { readonly calibration: Step<Blocks>; readonly trained: Step<Trained> | null },
): { readonly maps: Step<SeamState>; readonly grids: Grids | null } {
  const maps = scaling ? scaleStep(experiment, scaling, rotations, calibration) : rotations;
  const grids = gridsStep(experiment, rounding, maps, { calibration, trained });
  return { maps: grids ? mapsWith(grids, maps) : maps, grids };
}
