import {
  FULL_PRECISION_ROW,
  matrixShape,
  type ResolvedCell,
  type ResolvedExperiment,
} from '../../../config/index.ts';
import { Executor } from '../execute.ts';
import { methodsOf } from '../experiment-methods.ts';
import { withKeyChoice } from '../key-offset.ts';
import { Places } from '../places.ts';
import type { StepStore } from '../step-store.ts';
import type { Workbench } from '../workbench.ts';
import { type CellPlan, planCell } from './cell-plan.ts';

/** A cell with what looks through its steps. */
export interface OpenCell {
  /** Of the cell's experiment. */
  readonly bench: Workbench;
  readonly plan: CellPlan;
  readonly executor: Executor;
}

/** @param bench of the experiment with the matrix. @param store of the steps that its cells share. */
export async function openCell(
  bench: Workbench,
  { experiment, method }: ResolvedCell,
  store: StepStore,
  signal: AbortSignal | undefined,
): Promise<OpenCell> {
  const { keyChoice: _, ...table } = bench;
  const chosen = withKeyChoice(experiment, bench.keyFacts?.choices ?? {});
  const own = { ...table, ...chosen, ...(await methodsOf(experiment)) };
  const plan = await planCell(own.experiment, own, {
    isFullPrecision: method === FULL_PRECISION_ROW.name,
    statistics: statisticsOf(bench.experiment),
  });
  const places = new Places(null, [], experiment.runs, undefined, store);
  return { bench: own, plan, executor: new Executor(own, places, {}, signal, store) };
}

/** A table says whether activations are looked at; an experiment alone does that. */
function statisticsOf({ matrix }: ResolvedExperiment): boolean {
  return matrix ? matrixShape(matrix).statistics : true;
}
