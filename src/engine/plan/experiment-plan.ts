import type { ResolvedExperiment } from '../../config/index.ts';
import type { Variant } from '../../protocol/events.ts';
import type { ActivationsFile, PerplexityResult } from '../../runs/index.ts';
import type { SeamState } from '../network/seams.ts';
import type { Methods } from './experiment-methods.ts';
import type { Step } from './step.ts';
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
import { perplexityStep, statisticsStep } from './steps/measures.ts';
import { type Blocks, textSteps, textStepsAtOnce } from './steps/texts.ts';
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
export async function planOptimize(experiment: ResolvedExperiment, methods: Methods): Promise<OptimizePlan> {
  const { calibration, evaluation } = textStepsAtOnce(experiment);
  const learned = learnStep(experiment, startStep(experiment), calibration);
  const rotations = learnedMaps(learned);
  const { maps, grids } = scaled(experiment, methods, rotations, calibration);
  const weights = await weightsStep(experiment, maps, calibration, grids);
  return {
    learned,
    preserved: preservedStep(experiment, 'learned rotations', rotations, calibration),
    perplexity: perplexityStep(experiment, ['full-precision', 'quantized'], evaluation, { maps, weights }),
    statistics: statisticsStep(experiment, maps, calibration),
  };
}

/** Perplexity with rotations that are drawn, or were learned before. @param path of learned ones. */
export async function planEvaluate(
  experiment: ResolvedExperiment,
  methods: Methods,
  variants: readonly Variant[],
  path: string | null,
): Promise<Step<PerplexityResult[]>> {
  const { calibration, evaluation } = textSteps(experiment);
  if (!variants.includes('quantized')) return perplexityStep(experiment, variants, evaluation, null);
  const { maps, grids } = scaled(experiment, methods, givenStep(experiment, path), calibration);
  const weights = await weightsStep(experiment, maps, calibration, grids);
  return perplexityStep(experiment, variants, evaluation, { maps, weights });
}

/** Activation statistics with rotations that are drawn, or were learned before. */
export function planInspect(
  experiment: ResolvedExperiment,
  methods: Methods,
  path: string | null,
): Step<ActivationsFile> {
  const { calibration } = textSteps(experiment);
  const { maps } = scaled(experiment, methods, givenStep(experiment, path), calibration);
  return statisticsStep(experiment, maps, calibration);
}

/** The maps with those of a scaling method and those that a rounding method learns, with the grids of the latter. */
function scaled(
  experiment: ResolvedExperiment,
  { scaling, rounding }: Methods,
  rotations: Step<SeamState>,
  calibration: Step<Blocks>,
): { readonly maps: Step<SeamState>; readonly grids: Grids | null } {
  const maps = scaling ? scaleStep(experiment, scaling, rotations, calibration) : rotations;
  const grids = gridsStep(experiment, rounding, maps, calibration);
  return { maps: grids ? mapsWith(grids, maps) : maps, grids };
}
