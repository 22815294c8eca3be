/** What a job asks of a node, from what the plan expects of the longest of them. */
import { estimatesOf } from '../estimate/estimates-of.ts';
import type { StepStore } from '../step-store.ts';
import type { Workbench } from '../workbench.ts';
import type { Standing } from './survey.ts';

export interface Demand {
  readonly minutes: number;
  /** In MiB. */
  readonly memory: number;
}

/** An estimate may be off by so much: nodes differ, and share their memory bandwidth. */
const TIME_RESERVE = 3;
const MEMORY_RESERVE = 1.25;
const LEAST_MINUTES = 15;
/** A process without a model: Node, the runtime and its threads. */
const BASE_MEMORY = 512;
/** Sites round up as well. */
const MEMORY_UNIT = 256;

/** A job may go on with all that its cell lacks. */
export async function demandOf(
  bench: Workbench,
  store: StepStore,
  standings: readonly Standing[],
): Promise<Demand> {
  const estimates = await estimatesOf(bench, store);
  let [seconds, bytes] = [0, 0];
  for (const { missing } of standings) {
    const costs = missing.flatMap(({ name, cost }) => (cost ? [{ name, cost }] : []));
    const sum = costs.reduce((total, { name, cost }) => total + estimates.seconds(name, cost.work), 0);
    seconds = Math.max(seconds, sum);
    bytes = Math.max(bytes, ...costs.map(({ cost }) => cost.bytes));
  }
  const memory = (MEMORY_RESERVE * bytes) / 2 ** 20 + BASE_MEMORY;
  return {
    minutes: Math.max(LEAST_MINUTES, Math.ceil((TIME_RESERVE * seconds) / 60)),
    memory: Math.ceil(memory / MEMORY_UNIT) * MEMORY_UNIT,
  };
}
