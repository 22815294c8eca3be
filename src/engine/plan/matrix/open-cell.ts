import {
  choosesExceptions,
  EXCEPTION_SITES,
  type Exception,
  FULL_PRECISION_ROW,
  matrixShape,
  type ResolvedCell,
  type ResolvedExperiment,
  worstLayers,
} from '../../../config/index.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import type { Run } from '../../../runs/index.ts';
import {
  type Choice,
  choiceOf,
  chooseExceptions,
  chosenBy,
  withExceptions,
} from '../choose/choose-exceptions.ts';
import { Executor } from '../execute.ts';
import { methodsOf } from '../experiment-methods.ts';
import { withKeyChoice } from '../key-offset.ts';
import { type Keeper, Places } from '../places.ts';
import { digestOf, type Step, withInputs } from '../step.ts';
import type { StepStore } from '../step-store.ts';
import type { Workbench } from '../workbench.ts';
import { type CellPlan, planCell, targetsOf } from './cell-plan.ts';

/** A cell with what looks through its steps. */
export interface OpenCell {
  /** Its experiment has the exceptions that were chosen, as soon as they are. */
  readonly cell: ResolvedCell;
  /** Of the cell's experiment. */
  readonly bench: Workbench;
  /** While exceptions are to be chosen, with the bits of all other places. */
  readonly plan: CellPlan;
  readonly executor: Executor;
  /** Null where no exceptions are left to choose. */
  readonly choice: OpenChoice | null;
  /** Folders of shared results that it used before it had a run. */
  readonly uses: ReadonlySet<string>;
}

/** What the exceptions of a cell are chosen by. */
export interface OpenChoice extends Choice {
  /** Steps of the plan that are others once exceptions are chosen. */
  readonly decides: ReadonlySet<Step<unknown>>;
}

/** What cells are opened with. */
export interface Opening {
  /** Of the experiment with the matrix. */
  readonly bench: Workbench;
  /** Of the steps that its cells share. */
  readonly store: StepStore;
  readonly signal: AbortSignal | undefined;
}

export async function openCell(
  { bench, store, signal }: Opening,
  cell: ResolvedCell,
  uses: ReadonlySet<string> = new Set(),
): Promise<OpenCell> {
  const { keyChoice: _, ...table } = bench;
  const chosen = withKeyChoice(cell.experiment, bench.keyFacts?.choices ?? {});
  const { experiment } = chosen;
  const own = { ...table, ...chosen, ...(await methodsOf(experiment)) };
  const planOf = (one: ResolvedExperiment) =>
    planCell(one, own, {
      isFullPrecision: cell.method === FULL_PRECISION_ROW.name,
      statistics: statisticsOf(bench.experiment),
    });
  const plan = await planOf(experiment);
  const noted = new Set(uses);
  const places = new Places(null, [], experiment.runs, notingIn(noted), store);
  const executor = new Executor(own, places, {}, signal, store);
  const opened = { cell, bench: own, plan, executor, uses: noted };
  if (!choosesExceptions(experiment.quantization)) return { ...opened, choice: null };
  const decides = differing(plan, await planOf(withExceptions(experiment, inAllLayers(experiment))));
  return { ...opened, choice: { ...choiceOf(experiment, own, places, signal, store), decides } };
}

/** The cell with its exceptions chosen, from what its run has or else from an attribution. @param run null for none. */
export async function* decideCell(
  opening: Opening,
  open: OpenCell,
  run: Run | null,
): AsyncGenerator<RunEvent, OpenCell> {
  const { cell, choice } = open;
  if (!choice) return open;
  const known = run && (await chosenBy(run, cell.experiment));
  return known
    ? cellWith(opening, open, known)
    : reopened(opening, open, yield* chooseExceptions(cell.experiment, choice));
}

/** The cell with these exceptions. */
export function cellWith(
  opening: Opening,
  open: OpenCell,
  exceptions: readonly Exception[],
): Promise<OpenCell> {
  return reopened(opening, open, withExceptions(open.cell.experiment, exceptions));
}

function reopened(
  opening: Opening,
  { cell, uses }: OpenCell,
  experiment: ResolvedExperiment,
): Promise<OpenCell> {
  return openCell(opening, { ...cell, experiment }, uses);
}

/** The last steps of a cell, behind those that choose its exceptions. */
export function allTargets({ plan, choice }: Pick<OpenCell, 'plan' | 'choice'>): Step<unknown>[] {
  return [...(choice ? [choice.step] : []), ...targetsOf(plan)];
}

/** Names of steps by their settings alone: the same in every process, whatever was computed. */
export function namesOf(targets: readonly Step<unknown>[]): ReadonlyMap<Step<unknown>, string> {
  const keys = new Map<Step<unknown>, string>();
  for (const step of withInputs(targets)) keys.set(step, assumedKey(step, keys));
  return keys;
}

/** @param keys of its inputs. */
export function assumedKey(step: Step<unknown>, keys: ReadonlyMap<Step<unknown>, string>): string {
  const { kind, name, version, inputs } = step;
  return digestOf({ kind, name, version, spec: step.spec(), inputs: inputs.map((input) => keys.get(input)) });
}

/** What may be chosen, in all layers: it changes whatever the choice can change. */
function inAllLayers({ quantization: { exceptions } }: ResolvedExperiment): Exception[] {
  if (exceptions)
    return exceptions.map((one) => (worstLayers(one) === null ? one : { ...one, layers: 'all' }));
  const more = { bits: 8 } as const;
  const parts = { activations: more, weights: more, keys: more, values: more };
  return [{ layers: 'all', sites: [...EXCEPTION_SITES], ...parts }];
}

/** Steps of a plan that another one does not have. */
function differing(plan: CellPlan, other: CellPlan): ReadonlySet<Step<unknown>> {
  const others = new Set(namesOf(targetsOf(other)).values());
  const own = [...namesOf(targetsOf(plan))].filter(([, name]) => !others.has(name));
  return new Set(own.map(([step]) => step));
}

/** Before a cell has a run, there is nothing to check and nothing to drop. */
function notingIn(uses: Set<string>): Keeper {
  return {
    check: () => undefined,
    dropStepsAfter: () => undefined,
    noteUse: (name) => void uses.add(name),
  };
}

/** A table says whether activations are looked at; an experiment alone does that. */
function statisticsOf({ matrix }: ResolvedExperiment): boolean {
  return matrix ? matrixShape(matrix).statistics : true;
}
