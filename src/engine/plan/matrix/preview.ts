/** What filling a matrix would do: which steps are there, which would run, and what each is expected to cost. */
import { type ResolvedExperiment, resolvedCells } from '../../../config/index.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import type { Executor } from '../execute.ts';
import { runJob } from '../job.ts';
import type { EngineOptions } from '../options.ts';
import { Places } from '../places.ts';
import { digestOf, type Step, type StepKind, withInputs } from '../step.ts';
import { type StepRecord, StepStore } from '../step-store.ts';
import { targetsOf } from './cell-plan.ts';
import { type OpenCell, obstacleOf, openCell } from './open-cell.ts';
import { stepsFolder } from './steps-folder.ts';

/** A step that at least one cell needs. Steps that take no time to speak of are left out. */
export interface StepPreview {
  readonly kind: StepKind;
  readonly name: string;
  /** Cells that need it. */
  readonly cells: number;
  readonly isThere: boolean;
  /** As it was when it ran, or the mean of steps of this name; null where none has run. */
  readonly seconds: number | null;
  /** Peak of the process, the largest of steps of this name; null where none has run. */
  readonly peakBytes: number | null;
}

export interface CellPreview {
  readonly bits: string;
  readonly method: string;
  readonly title: string;
  readonly seed: number;
  /** Steps that it needs and that are not there. */
  readonly missing: number;
  /** Why it stays empty; null where it can be computed. */
  readonly message: string | null;
}

export interface MatrixPreview {
  readonly cells: readonly CellPreview[];
  readonly steps: readonly StepPreview[];
}

interface Seen {
  readonly step: Step<unknown>;
  readonly record: StepRecord | null;
  readonly isThere: boolean;
  cells: number;
}

/** Reads the texts and looks for kept results; computes nothing else. */
export async function* previewMatrix(
  experiment: ResolvedExperiment,
  options: EngineOptions,
): AsyncGenerator<RunEvent, MatrixPreview> {
  const store = new StepStore(stepsFolder(experiment));
  const places = new Places(null, [], experiment.runs, undefined, store);
  const setting = { job: 'inspect' as const, experiment, options, places, run: null };
  return yield* runJob(setting, async function* (bench) {
    const seen = new Map<string, Seen>();
    const cells: CellPreview[] = [];
    for (const cell of resolvedCells(experiment)) {
      const { bits, method, title, seed } = cell;
      const message = obstacleOf(cell, bench.checkpoint.config) ?? null;
      const missing =
        message === null
          ? yield* lookThrough(await openCell(bench, cell, store, options.signal), store, seen)
          : 0;
      cells.push({ bits, method, title, seed, missing, message });
    }
    return { cells, steps: estimated([...seen.values()]) };
  });
}

/** @returns how many steps of a cell are not there. */
async function* lookThrough(
  { plan, executor }: OpenCell,
  store: StepStore,
  seen: Map<string, Seen>,
): AsyncGenerator<RunEvent, number> {
  /** Keys of steps; of those whose inputs are missing, keys of what they would be made of. */
  const keys = new Map<Step<unknown>, string>();
  const there = new Set<Step<unknown>>();
  let missing = 0;
  for (const step of withInputs(targetsOf(plan))) {
    const isReady = step.inputs.every((input) => there.has(input));
    const key = isReady ? await executor.keyOf(step) : assumedKey(step, keys);
    keys.set(step, key);
    const isKept = step.keeping !== undefined || step.find !== undefined;
    const isThere = isReady && (!isKept || (await isFound(step, key, executor, store)));
    if (isThere) {
      yield* executor.execute(step);
      there.add(step);
    } else if (isKept) missing++;
    if (!isKept) continue;
    const known = seen.get(key) ?? { step, record: await store.record(key), isThere, cells: 0 };
    known.cells++;
    seen.set(key, known);
  }
  return missing;
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

function estimated(seen: readonly Seen[]): StepPreview[] {
  const records = seen.flatMap(({ record }) => record ?? []);
  return seen.map(({ step, record, isThere, cells }) => {
    const alike = records.filter(({ name }) => name === step.name);
    const mean = alike.reduce((sum, { seconds }) => sum + seconds, 0) / alike.length;
    const peak = Math.max(...alike.map(({ peakBytes }) => peakBytes));
    const isKnown = alike.length > 0;
    return {
      kind: step.kind,
      name: step.name,
      cells,
      isThere,
      seconds: record?.seconds ?? (isKnown ? mean : null),
      peakBytes: record?.peakBytes ?? (isKnown ? peak : null),
    };
  });
}
