import type { StepStore } from '../step-store.ts';
import type { Workbench } from '../workbench.ts';
import { Estimates, type RanStep } from './estimates.ts';
import { measureMachine } from './machine.ts';

interface Known {
  /** Steps that ran, with what they ask by the formulas of now. */
  readonly ran: readonly RanStep[];
  /** Keys of these. */
  readonly known: ReadonlySet<string>;
}

/** Estimates for a model on this machine, by steps that are known and all others whose results lie in the store. */
export async function estimatesOf(
  { cache, checkpoint }: Workbench,
  store: StepStore,
  { ran, known }: Known = { ran: [], known: new Set() },
): Promise<Estimates> {
  const others = (await store.records()).flatMap(({ key, name, seconds, work }) =>
    work && !known.has(key) ? [{ name, seconds, work }] : [],
  );
  return new Estimates(await measureMachine(cache, checkpoint.config), [...ran, ...others]);
}
