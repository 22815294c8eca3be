/** Which pieces of a table can be handed to the cluster now. */
import type { ResolvedCell } from '../../../config/index.ts';
import type { Task } from './folder.ts';
import type { MissingStep, Standing } from './survey.ts';

/** Digits of a step's name in scripts. */
const DIGITS = 16;

export interface Taken {
  /** Keys of cells that have a task in the queue. */
  readonly cells: ReadonlySet<string>;
  /** Steps that tasks in the queue begin with. */
  readonly steps: ReadonlySet<string>;
}

/**
 * One task for each cell that has a step which nobody is at work on. A job of it begins with this step, and goes on with
 * the cell until it meets a step that another job has.
 */
export function chooseTasks(standings: readonly Standing[], taken: Taken): Task[] {
  const steps = new Set(taken.steps);
  const tasks: Task[] = [];
  // A cell that has begun has the checkpoint of what it was doing.
  const begun = standings.filter(({ run }) => run !== null);
  const others = standings.filter(({ run }) => run === null);
  for (const { place, isFinished, missing } of [...begun, ...others]) {
    const { cell, inputs } = place;
    if (isFinished || inputs === null || taken.cells.has(cell.key)) continue;
    if (missing.length === 0) {
      tasks.push({ cell: cell.key, step: null, title: titleOf(cell, missing) });
      continue;
    }
    const free = missing.find((one) => isFree(one) && !steps.has(shortName(one.id)));
    if (free === undefined) continue;
    const step = shortName(free.id);
    steps.add(step);
    tasks.push({ cell: cell.key, step, title: titleOf(cell, missing) });
  }
  return tasks;
}

const isFree = ({ isReady, isBusy }: MissingStep): boolean => isReady && !isBusy;

/** The name of a step in scripts and in the folder of the cluster. */
export const shortName = (id: string): string => id.slice(0, DIGITS);

/** `4-4-4 GPTQ, seed 0: gptq, perplexity`: the cell with the steps that it lacks. */
function titleOf({ bits, title, seed }: ResolvedCell, missing: readonly MissingStep[]): string {
  const names = [...new Set(missing.map(({ name }) => name))];
  return [`${bits} ${title}, seed ${seed}`, ...(names.length === 0 ? [] : [names.join(', ')])].join(': ');
}
