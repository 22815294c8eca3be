/** What filling a matrix would do: which steps are there, which would run, and what each is expected to cost. */
import { type ResolvedExperiment, resolvedCells } from '../../../config/index.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import type { Cost } from '../../network/work.ts';
import { exceptionsPreview } from '../choose/choose-exceptions.ts';
import { estimatesOf } from '../estimate/estimates-of.ts';
import { type Expected, expectedOf } from '../estimate/expected.ts';
import { runJob } from '../job.ts';
import type { EngineOptions } from '../options.ts';
import { Places } from '../places.ts';
import type { Step, StepKind } from '../step.ts';
import { type StepRecord, StepStore } from '../step-store.ts';
import type { Workbench } from '../workbench.ts';
import { lookThrough, type SeenStep } from './look-through.ts';
import { obstacleOf } from './obstacles.ts';
import { openCell } from './open-cell.ts';
import { stepsFolder } from './steps-folder.ts';

/** A step that at least one cell needs. Steps that take no time to speak of are left out. */
export interface StepPreview {
  readonly kind: StepKind;
  readonly name: string;
  /** Cells that need it. */
  readonly cells: number;
  readonly isThere: boolean;
  /** False where it has run: its time and memory are then those that it took. */
  readonly isEstimate: boolean;
  readonly seconds: number;
  /** Of the process, mapped weights included. One that ran other steps before may hold more. */
  readonly peakBytes: number;
}

export interface CellPreview {
  readonly bits: string;
  readonly method: string;
  readonly title: string;
  readonly seed: number;
  /** Steps that it needs and that are not there. */
  readonly missing: number;
  /** Average bits and the exceptions, or how these will be chosen; null where there are none. */
  readonly exceptions: string | null;
  /** Why it stays empty; null where it can be computed. */
  readonly message: string | null;
}

export interface MatrixPreview {
  readonly cells: readonly CellPreview[];
  readonly steps: readonly StepPreview[];
  /** Of the steps that are not there. */
  readonly expected: Expected;
}

interface Wanted {
  readonly step: Step<unknown>;
  readonly record: StepRecord | null;
  readonly cost: Cost;
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
    const seen = new Map<string, Wanted>();
    const cells: CellPreview[] = [];
    for (const cell of resolvedCells(experiment)) {
      const { bits, method, title, seed } = cell;
      const message = obstacleOf(cell, bench.checkpoint.config) ?? null;
      const opening = { bench, store, signal: options.signal };
      const found = message === null ? yield* lookThrough(opening, await openCell(opening, cell)) : null;
      const missing = found ? await countMissing(found.steps, store, seen) : 0;
      const exceptions = found && exceptionsPreview(found.open.cell.experiment, bench.checkpoint.config);
      cells.push({ bits, method, title, seed, missing, exceptions, message });
    }
    const steps = await estimated(bench, store, [...seen.values()]);
    return { cells, steps, expected: expectedOf(steps.filter(({ isThere }) => !isThere)) };
  });
}

/** @returns how many steps of a cell are not there. */
async function countMissing(
  steps: readonly SeenStep[],
  store: StepStore,
  seen: Map<string, Wanted>,
): Promise<number> {
  let missing = 0;
  for (const { step, executor, key, isKept, isThere } of steps) {
    if (!isThere && isKept) missing++;
    const cost = step.cost?.(executor);
    if (!isKept || !cost) continue;
    const known = seen.get(key) ?? { step, record: await store.record(key), cost, isThere, cells: 0 };
    known.cells++;
    seen.set(key, known);
  }
  return missing;
}

async function estimated(
  bench: Workbench,
  store: StepStore,
  seen: readonly Wanted[],
): Promise<StepPreview[]> {
  const ran = seen.flatMap(({ step: { name }, cost: { work }, record }) =>
    record ? [{ name, work, seconds: record.seconds }] : [],
  );
  const keys = new Set(seen.flatMap(({ record }) => record?.key ?? []));
  const estimates = await estimatesOf(bench, store, { ran, known: keys });
  return seen.map(({ step: { kind, name }, cost, record, isThere, cells }) => ({
    kind,
    name,
    cells,
    isThere,
    isEstimate: record === null,
    seconds: record?.seconds ?? estimates.seconds(name, cost.work),
    peakBytes: record?.peakBytes ?? cost.bytes,
  }));
}
