import { hasLearnedRotation, type ResolvedExperiment } from '../../../config/index.ts';
import type { ActivationsFile, PerplexityResult, TaskResult } from '../../../runs/index.ts';
import type { SeamState } from '../../network/seams.ts';
import type { Clips } from '../clips/found.ts';
import type { Methods } from '../experiment-methods.ts';
import { scaled } from '../experiment-plan.ts';
import type { Step } from '../step.ts';
import { clipsStep } from '../steps/clips.ts';
import type { Grids } from '../steps/grids.ts';
import { type Learned, learnedMaps, learnStep, preservedStep, startStep } from '../steps/maps.ts';
import { perplexityStep, statisticsStep } from '../steps/measures.ts';
import { tasksStep } from '../steps/tasks.ts';
import { type Blocks, type Texts, textSteps } from '../steps/texts.ts';
import { trainingStep } from '../steps/training.ts';
import { type Weights, weightsStep } from '../steps/weights.ts';

/** The steps of one cell. Full precision is a step of its own, because every cell has it in common. */
export interface CellPlan {
  readonly calibration: Step<Blocks>;
  readonly evaluation: Step<Texts>;
  /** Null where no rotation is learned. */
  readonly learned: Step<Learned> | null;
  readonly preserved: Step<null> | null;
  readonly fullPrecision: Step<PerplexityResult[]>;
  /** Null where the experiment names no tasks. */
  readonly fullPrecisionTasks: Step<TaskResult[]> | null;
  /** Null in the cell of full precision itself, as all below. */
  readonly maps: Step<SeamState> | null;
  /** Null where the method learns nothing before it rounds. */
  readonly grids: Grids | null;
  /** Null where no clip ratios are searched. */
  readonly clips: Clips | null;
  readonly weights: Weights | null;
  readonly quantized: Step<PerplexityResult[]> | null;
  readonly quantizedTasks: Step<TaskResult[]> | null;
  /** Null where activations are not looked at. */
  readonly statistics: Step<ActivationsFile> | null;
}

export async function planCell(
  experiment: ResolvedExperiment,
  methods: Methods,
  what: { readonly isFullPrecision: boolean; readonly statistics: boolean },
): Promise<CellPlan> {
  const { calibration, evaluation } = textSteps(experiment);
  const fullPrecision = perplexityStep(experiment, ['full-precision'], evaluation, null);
  const fullPrecisionTasks = tasksStep(experiment, ['full-precision'], null);
  const shared = { calibration, evaluation, fullPrecision, fullPrecisionTasks };
  if (what.isFullPrecision) {
    const nothing = { learned: null, preserved: null, maps: null, grids: null, clips: null, weights: null };
    return { ...shared, ...nothing, quantized: null, quantizedTasks: null, statistics: null };
  }
  const start = startStep(experiment);
  const learned = hasLearnedRotation(experiment.rotation) ? learnStep(experiment, start, calibration) : null;
  const rotations = learned ? learnedMaps(learned) : start;
  const trained = await trainingStep(experiment);
  const { maps, grids } = scaled(experiment, methods, rotations, { calibration, trained });
  const clips = clipsStep(experiment, maps, calibration);
  const weights = await weightsStep(experiment, maps, calibration, { trained, grids, clips });
  const network = { maps, weights, trained, clips };
  return {
    ...shared,
    learned,
    preserved: learned && preservedStep(experiment, 'learned rotations', rotations, calibration),
    maps,
    grids,
    clips,
    weights,
    quantized: perplexityStep(experiment, ['quantized'], evaluation, network),
    quantizedTasks: tasksStep(experiment, ['quantized'], network),
    statistics: what.statistics ? statisticsStep(experiment, maps, { calibration, trained, clips }) : null,
  };
}

/** The last steps of a cell: those that nothing else reads. */
export function targetsOf(plan: CellPlan): Step<unknown>[] {
  const { learned, preserved, fullPrecision, fullPrecisionTasks } = plan;
  const { quantized, quantizedTasks, statistics } = plan;
  const all = [learned, preserved, fullPrecision, fullPrecisionTasks, quantized, quantizedTasks, statistics];
  return all.filter((step) => step !== null);
}
