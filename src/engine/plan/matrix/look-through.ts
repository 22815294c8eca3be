/** Which steps of a cell are there, without computing any. */
import type { RunEvent } from '../../../protocol/events.ts';
import type { Executor } from '../execute.ts';
import { digestOf, type Step, withInputs } from '../step.ts';
import type { StepStore } from '../step-store.ts';
import { SCAN } from '../steps/texts.ts';
import { type CellPlan, targetsOf } from './cell-plan.ts';
import type { OpenCell } from './open-cell.ts';

/** A step as it was found. */
export interface SeenStep {
  readonly step: Step<unknown>;
  /** Where its inputs are missing, the key of what they would be made of. */
  readonly key: string;
  /** True where its result would be kept for other cells. */
  readonly isKept: boolean;
  readonly isThere: boolean;
  /** True where it could run now: its inputs are there. */
  readonly isReady: boolean;
}

/** Looks at every step of a cell, inputs first. What is there is read; texts are read, too. */
export async function* lookThrough(
  { plan, executor }: Pick<OpenCell, 'plan' | 'executor'>,
  store: StepStore,
): AsyncGenerator<RunEvent, SeenStep[]> {
  executor.assume(SCAN, null);
  const keys = new Map<Step<unknown>, string>();
  const there = new Set<Step<unknown>>();
  const seen: SeenStep[] = [];
  for (const step of withInputs(targetsOf(plan))) {
    const isReady = step.inputs.every((input) => there.has(input));
    const key = isReady ? await executor.keyOf(step) : assumedKey(step, keys);
    keys.set(step, key);
    const isKept = step.keeping !== undefined || step.find !== undefined;
    const isThere = isReady && (!isKept || (await isFound(step, key, executor, store)));
    seen.push({ step, key, isKept, isThere, isReady });
    if (!isThere) continue;
    const work = executor.execute(step);
    if (isKept) await unsaid(work);
    else yield* work;
    there.add(step);
  }
  return seen;
}

/** Names of the steps of a cell by their settings alone: the same in every process, whatever was computed. */
export function stepNames(plan: CellPlan): ReadonlyMap<Step<unknown>, string> {
  const keys = new Map<Step<unknown>, string>();
  for (const step of withInputs(targetsOf(plan))) keys.set(step, assumedKey(step, keys));
  return keys;
}

/** What is kept tells again of its measurement, and nothing is measured here. */
async function unsaid(work: AsyncGenerator<RunEvent, unknown>): Promise<void> {
  while (!(await work.next()).done);
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

function assumedKey(step: Step<unknown>, keys: ReadonlyMap<Step<unknown>, string>): string {
  const { kind, name, version, inputs } = step;
  return digestOf({ kind, name, version, spec: step.spec(), inputs: inputs.map((input) => keys.get(input)) });
}
