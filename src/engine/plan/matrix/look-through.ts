/** Which steps of a cell are there, without computing any. */
import type { RunEvent } from '../../../protocol/events.ts';
import type { Run } from '../../../runs/index.ts';
import { chosenBy } from '../choose/choose-exceptions.ts';
import type { Executor } from '../execute.ts';
import { digestOf, type Step, withInputs } from '../step.ts';
import type { StepStore } from '../step-store.ts';
import { SCAN } from '../steps/texts.ts';
import { targetsOf } from './cell-plan.ts';
import {
  allTargets,
  assumedKey,
  cellWith,
  decideCell,
  namesOf,
  type OpenCell,
  type OpenChoice,
  type Opening,
} from './open-cell.ts';

/** A step as it was found. */
export interface SeenStep {
  readonly step: Step<unknown>;
  /** It has what the step is to run with. */
  readonly executor: Executor;
  /** Where its inputs are missing, the key of what they would be made of. */
  readonly key: string;
  /** True where its result would be kept for other cells. */
  readonly isKept: boolean;
  readonly isThere: boolean;
  /** True where it could run now: its inputs are there. */
  readonly isReady: boolean;
}

/** A cell as far as it is known, with its steps. */
export interface SeenCell {
  /** With its exceptions chosen where what they are chosen by is there. */
  readonly open: OpenCell;
  readonly steps: readonly SeenStep[];
}

/**
 * Looks at every step of a cell, inputs first. What is there is read; texts are read, too.
 * @param run of the cell, which may have chosen its exceptions; null for none.
 */
export async function* lookThrough(
  opening: Opening,
  open: OpenCell,
  run: Run | null = null,
): AsyncGenerator<RunEvent, SeenCell> {
  const { store } = opening;
  const { choice } = open;
  const before = choice ? yield* look([choice.step], { ...choice, store }) : [];
  const isThere = before.at(-1)?.isThere ?? false;
  const known = choice ? await decidedIfKnown(opening, open, run, isThere) : open;
  const steps = yield* look(targetsOf(known.plan), { ...known, store });
  // What a run has chosen is not chosen again.
  return { open: known, steps: known.choice || isThere ? [...before, ...steps] : steps };
}

/** The cell with its exceptions chosen; as it is where that would take work. */
async function decidedIfKnown(
  opening: Opening,
  open: OpenCell,
  run: Run | null,
  isThere: boolean,
): Promise<OpenCell> {
  const exceptions = run && (await chosenBy(run, open.cell.experiment));
  if (exceptions) return cellWith(opening, open, exceptions);
  return isThere ? unsaid(decideCell(opening, open, null)) : open;
}

interface Looking {
  readonly executor: Executor;
  readonly store: StepStore;
  /** Steps that it decides are others once exceptions are chosen. */
  readonly choice?: Partial<OpenChoice> | null;
}

async function* look(
  targets: readonly Step<unknown>[],
  { executor, store, choice }: Looking,
): AsyncGenerator<RunEvent, SeenStep[]> {
  executor.assume(SCAN, null);
  const keys = new Map<Step<unknown>, string>();
  const there = new Set<Step<unknown>>();
  const seen: SeenStep[] = [];
  for (const step of withInputs(targets)) {
    const isDecided = !choice?.decides?.has(step);
    const isReady = isDecided && step.inputs.every((input) => there.has(input));
    const key = isReady ? await executor.keyOf(step) : assumedKey(step, keys);
    keys.set(step, key);
    const isKept = step.keeping !== undefined || step.find !== undefined;
    const isThere = isReady && (!isKept || (await isFound(step, key, executor, store)));
    seen.push({
      step,
      executor,
      key: isDecided ? key : undecidedKey(key, executor),
      isKept,
      isThere,
      isReady,
    });
    if (!isThere) continue;
    const work = executor.execute(step);
    if (isKept) await unsaid(work);
    else yield* work;
    there.add(step);
  }
  return seen;
}

/** Experiments that ask for other exceptions do not share what rests on these. */
function undecidedKey(key: string, { bench: { experiment } }: Executor): string {
  const { budget, exceptions } = experiment.quantization;
  return digestOf({ key, budget, exceptions });
}

/** Names of the steps of a cell by their settings alone: the same in every process, whatever was computed. */
export function stepNames(open: Pick<OpenCell, 'plan' | 'choice'>): ReadonlyMap<Step<unknown>, string> {
  return namesOf(allTargets(open));
}

/** What is kept tells again of its measurement, and nothing is measured here. */
async function unsaid<T>(work: AsyncGenerator<RunEvent, T>): Promise<T> {
  for (;;) {
    const next = await work.next();
    if (next.done) return next.value;
  }
}

async function isFound(
  step: Step<unknown>,
  key: string,
  executor: Executor,
  store: StepStore,
): Promise<boolean> {
  if (step.find && (await step.find(executor, key)) !== null) return true;
  return (await store.find(step, key)) !== null;
}
