/** One task of an array, inside its job: a step of a cell, and what the cell lacks beside it. */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import manifest from '../../../../package.json' with { type: 'json' };
import {
  clusterCells,
  type Exception,
  type ResolvedCell,
  type ResolvedExperiment,
} from '../../../config/index.ts';
import { systemFault } from '../../../disk/faults.ts';
import { Cancelled, messageOf, throwIfCancelled, UserError } from '../../../protocol/errors.ts';
import type { RunEvent } from '../../../protocol/events.ts';
import { isLocked, openRun, type Run } from '../../../runs/index.ts';
import { fromLeader } from '../../distributed/agreement.ts';
import { ONE_RANK } from '../../distributed/ranks.ts';
import { chosenBy } from '../choose/choose-exceptions.ts';
import { runJob } from '../job.ts';
import { targetsOf } from '../matrix/cell-plan.ts';
import { CellRuns } from '../matrix/find-runs.ts';
import { stepNames } from '../matrix/look-through.ts';
import { cellWith, type OpenCell } from '../matrix/open-cell.ts';
import { type CellJob, openCellRun, runCell } from '../matrix/run-cell.ts';
import { decidedJob, type Filling, jobOf } from '../matrix/run-matrix.ts';
import { stepsFolder } from '../matrix/steps-folder.ts';
import type { EngineOptions } from '../options.ts';
import { Places } from '../places.ts';
import type { RankPlace } from '../rank-place.ts';
import { recordRun } from '../record-run.ts';
import { type Step, withInputs } from '../step.ts';
import { StepBusy } from '../step-lock.ts';
import { StepStore } from '../step-store.ts';
import { shortName } from './choose-tasks.ts';
import { ClusterFolder, type Outcome } from './folder.ts';

export interface TaskRequest {
  /** Key of the cell. */
  readonly cell: string;
  /** Name of the step that comes first; null for all that the cell lacks in the plan's order. */
  readonly step: string | null;
  /** The submission, and the task's number in it; null where a person runs the step by hand. */
  readonly job: { readonly token: string; readonly index: number } | null;
  /** The version of SpinQuant Lab that submitted it. */
  readonly version: string | null;
}

export interface TaskOptions extends EngineOptions {
  /** Where a rank of several works; absent for one alone. */
  readonly place?: RankPlace | undefined;
}

export interface TaskResult {
  readonly state: 'finished' | 'left';
  /** Absolute path of the run. */
  readonly run: string | null;
  /** Why the cell is left to another job; null where it is finished. */
  readonly message: string | null;
}

/** A job on a node that is gone gives no sign of life; its run is free a minute after the last one. */
const FREE_AFTER_MS = 75_000;
const LOOK_MS = 1000;

/**
 * Runs the task, and writes down how it ended, whatever happens.
 * @throws UserError `cluster/version`, `cluster/experiment-changed`, and those of the steps.
 */
export async function* runTask(
  experiment: ResolvedExperiment,
  request: TaskRequest,
  options: TaskOptions,
): AsyncGenerator<RunEvent, TaskResult> {
  const { job } = withRanks(request, options);
  const folder = new ClusterFolder(experiment);
  if (job) await folder.removeOutcome(job.token, job.index);
  const tell = (state: Outcome['state'], error: Outcome['error']) => {
    const endedAt = new Date().toISOString();
    if (job)
      folder.writeOutcome(job.token, job.index, { version: 1, state, host: hostname(), endedAt, error });
  };
  try {
    const result = yield* inBench(experiment, request, options);
    tell(
      result.state,
      result.message === null ? null : { code: 'cluster/left', message: result.message, hint: '' },
    );
    return result;
  } catch (thrown) {
    const error = systemFault(thrown);
    if (error instanceof Cancelled) tell('stopped', null);
    else tell('failed', describe(error));
    throw error;
  }
}

/** Rank 0 alone writes down how the task ended. */
function withRanks(request: TaskRequest, { ranks }: EngineOptions): TaskRequest {
  return (ranks?.leads ?? true) ? request : { ...request, job: null };
}

function describe(error: unknown): NonNullable<Outcome['error']> {
  const { code, hint } = error instanceof UserError ? error : { code: 'bug', hint: '' };
  return { code, message: messageOf(error), hint };
}

async function* inBench(
  experiment: ResolvedExperiment,
  request: TaskRequest,
  options: TaskOptions,
): AsyncGenerator<RunEvent, TaskResult> {
  checkVersion(request.version);
  const cell = cellOf(experiment, request.cell);
  const store = new StepStore(stepsFolder(experiment), 'leave');
  const places = new Places(null, [], experiment.runs, undefined, store);
  const setting = { job: 'optimize' as const, experiment, options, places, run: null };
  return yield* runJob(setting, async function* (bench) {
    const filling = { bench, store, options };
    const job = yield* jobOf(filling, cell);
    const found = await findTogether(experiment, job, options);
    if (found.done !== null) return { state: 'finished', run: found.done, message: null };
    const decided = yield* orBusy(decideTogether(filling, job, { found, step: request.step }));
    if (typeof decided === 'string') return { state: 'left', run: null, message: decided };
    const run = await openTogether(decided, found.stopped, options);
    return yield* inRun({ ...decided, first: firstOf(decided.open, request.step) }, run);
  });
}

/** Rank 0 finds this of a cell. */
interface FoundRuns {
  /** The folder of a run that is finished; null where none is. */
  readonly done: string | null;
  /** That of one to go on with. */
  readonly stopped: string | null;
  /** What it has chosen; null where nothing. */
  readonly exceptions: readonly Exception[] | null;
}

async function findTogether(
  { runs }: ResolvedExperiment,
  { open, inputs }: CellJob,
  { ranks = ONE_RANK }: TaskOptions,
): Promise<FoundRuns> {
  const found = await fromLeader(ranks, async () => {
    const all = await CellRuns.in(runs);
    const done = all.finished(open.cell, inputs)?.dir ?? null;
    const stopped = done === null ? all.unfinished(open.cell, inputs) : null;
    const exceptions = stopped && open.choice && (await chosenBy(stopped, open.cell.experiment));
    return JSON.stringify({ done, stopped: stopped?.dir ?? null, exceptions } satisfies FoundRuns);
  });
  // Rank 0 wrote it with the lines above.
  return JSON.parse(found) as FoundRuns;
}

/** Chooses the exceptions of a cell. A step that does not wait for them comes first, where the job is for it. */
async function* decideTogether(
  filling: Filling,
  job: CellJob,
  { found, step }: { readonly found: FoundRuns; readonly step: string | null },
): AsyncGenerator<RunEvent, CellJob> {
  const { open, store, signal } = job;
  if (!open.choice) return job;
  if (found.exceptions)
    return { ...job, open: await cellWith({ ...filling, store, signal }, open, found.exceptions) };
  const first = firstOf(open, step);
  if (first && withInputs(targetsOf(open.plan)).includes(first) && !open.choice.decides.has(first))
    yield* open.executor.executeOnLeader(first);
  return yield* decidedJob(filling, job, null);
}

/** The run that this rank goes on with: that of the cell, or a copy of it. */
async function openTogether(
  job: CellJob,
  stopped: string | null,
  { ranks = ONE_RANK, place, signal }: TaskOptions,
): Promise<Run> {
  let own: Run | null = null;
  await fromLeader(ranks, async () => {
    const run = stopped === null ? null : await openRun(stopped);
    if (run) await untilFree(run, signal);
    own = await openCellRun(job, run, false);
    return '';
  });
  const copy = stopped === null || place === undefined ? null : await openRun(await place.run(stopped));
  // A copy has the record of rank 0, which is at work.
  return own ?? openCellRun(job, copy, true);
}

async function* inRun(job: CellJob, run: Run): AsyncGenerator<RunEvent, TaskResult> {
  try {
    yield* recordRun(run, leavingBusy(runCell(job, run)));
    return { state: 'finished', run: run.dir, message: null };
  } catch (error) {
    if (!(error instanceof Left)) throw error;
    return { state: 'left', run: run.dir, message: error.message };
  }
}

/** To the run, a cell that is left to a later job is paused. */
class Left extends Cancelled {
  constructor(message: string) {
    super(message, 'paused');
  }
}

async function* leavingBusy<T>(work: AsyncGenerator<RunEvent, T>): AsyncGenerator<RunEvent, T> {
  try {
    return yield* work;
  } catch (error) {
    throw error instanceof StepBusy ? new Left(error.message) : error;
  }
}

/** @returns the message of a step that another job has. */
async function* orBusy<T>(work: AsyncGenerator<RunEvent, T>): AsyncGenerator<RunEvent, T | string> {
  try {
    return yield* work;
  } catch (error) {
    if (error instanceof StepBusy) return error.message;
    throw error;
  }
}

/** A node that is lost leaves its run locked for a minute. Its job was given to this one. */
async function untilFree({ dir }: Run, signal: AbortSignal | undefined): Promise<void> {
  const end = Date.now() + FREE_AFTER_MS;
  while (isLocked(dir) && Date.now() < end) {
    throwIfCancelled(signal);
    await sleep(LOOK_MS);
  }
}

/** A step that the cell does not have any more, or has done, leaves the order to the plan. */
function firstOf(open: OpenCell, name: string | null): Step<unknown> | undefined {
  return [...stepNames(open)].find(([, key]) => shortName(key) === name)?.[0];
}

function cellOf(experiment: ResolvedExperiment, key: string): ResolvedCell {
  const cell = clusterCells(experiment).find((one) => one.key === key);
  if (cell) return cell;
  throw new UserError(
    'cluster/experiment-changed',
    `${experiment.source.file} has no cell ${key} any more: it has changed since the job was submitted.`,
    'Start again: `spinquant optimize FILE --cluster` submits what the file says now.',
  );
}

function checkVersion(expected: string | null): void {
  if (expected === null || expected === manifest.version) return;
  throw new UserError(
    'cluster/version',
    `The node ${hostname()} has SpinQuant Lab ${manifest.version}; ${expected} submitted the job.`,
    'Install one version on a disk that all nodes share, or name it in "program" under "cluster".',
  );
}
