/** Where every cell of a table stands, as its folders tell. */
import { clusterCells, type ResolvedCell, type ResolvedExperiment } from '../../../config/index.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import { isLocked, type Run } from '../../../runs/index.ts';
import type { Cost } from '../../network/work.ts';
import { inputsOf } from '../matrix/cell-inputs.ts';
import { CellRuns } from '../matrix/find-runs.ts';
import { lookThrough, stepNames } from '../matrix/look-through.ts';
import { obstacleOf } from '../matrix/obstacles.ts';
import { type Opening, openCell } from '../matrix/open-cell.ts';
import type { StepStore } from '../step-store.ts';
import { SCAN } from '../steps/texts.ts';
import type { Workbench } from '../workbench.ts';

/** A step that a cell lacks. */
export interface MissingStep {
  /** Its name by settings alone (`stepNames`). */
  readonly id: string;
  readonly key: string;
  /** For people: `gptq`. */
  readonly name: string;
  readonly isReady: boolean;
  /** True while a process is at work on it, as its lock says. */
  readonly isBusy: boolean;
  readonly cost: Cost | null;
}

/** A cell with its place in the table, from 0. */
export interface Place {
  readonly cell: ResolvedCell;
  readonly at: number;
  /** Tells the model, the texts and what computes; null for a cell that stays empty. */
  readonly inputs: string | null;
  /** Why it stays empty; null where it can be computed. */
  readonly obstacle: string | null;
}

export interface Standing {
  readonly place: Place;
  /** The run that has its numbers, or the newest one that does not yet; null where there is none. */
  readonly run: Run | null;
  readonly isFinished: boolean;
  /** In the order in which they run; none for a finished cell. */
  readonly missing: readonly MissingStep[];
}

/** Reads the texts, once; what they and the model are does not change while a table is filled. */
export async function* placesOf(
  bench: Workbench,
  experiment: ResolvedExperiment,
  store: StepStore,
  signal: AbortSignal | undefined,
): AsyncGenerator<RunEvent, Place[]> {
  const places: Place[] = [];
  for (const [at, cell] of clusterCells(experiment).entries()) {
    const obstacle = obstacleOf(cell, bench.checkpoint.config) ?? null;
    if (obstacle !== null) {
      places.push({ cell, at, inputs: null, obstacle });
      continue;
    }
    const open = await openCell({ bench, store, signal }, cell);
    open.executor.assume(SCAN, null);
    const inputs = yield* inputsOf(open);
    places.push({ cell, at, inputs, obstacle });
  }
  return places;
}

/** What each cell lacks now. @param taken keys of cells that have a job: only whether they are finished is looked at. */
export async function* survey(
  bench: Workbench,
  places: readonly Place[],
  store: StepStore,
  taken: ReadonlySet<string>,
  signal: AbortSignal | undefined,
): AsyncGenerator<RunEvent, Standing[]> {
  const runs = await CellRuns.in(bench.experiment.runs);
  const standings: Standing[] = [];
  for (const place of places) {
    const { cell, inputs } = place;
    const done = inputs === null ? null : runs.finished(cell, inputs);
    if (inputs === null || done !== null) {
      standings.push({ place, run: done, isFinished: done !== null, missing: [] });
      continue;
    }
    const run = runs.unfinished(cell, inputs);
    const missing = taken.has(cell.key) ? [] : yield* missingOf({ bench, store, signal }, cell, run);
    standings.push({ place, run, isFinished: false, missing });
  }
  return standings;
}

async function* missingOf(
  opening: Opening,
  cell: ResolvedCell,
  run: Run | null,
): AsyncGenerator<RunEvent, MissingStep[]> {
  const { open, steps } = yield* lookThrough(opening, await openCell(opening, cell), run);
  const names = stepNames(open);
  return steps.flatMap(({ step, executor, key, isKept, isThere, isReady }) => {
    if (isThere || !isKept) return [];
    const cost = step.cost?.(executor) ?? null;
    const isBusy = isReady && isLocked(opening.store.folderOf(key));
    return [{ id: names.get(step) ?? key, key, name: step.name, isReady, isBusy, cost }];
  });
}
