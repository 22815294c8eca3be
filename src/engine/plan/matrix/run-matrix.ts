/** Fills the table of a matrix, cell by cell. What cells have in common is computed once. */
import { mkdir } from 'node:fs/promises';
import { type ResolvedCell, type ResolvedExperiment, resolvedCells } from '../../../config/index.ts';
import { systemFault, writing } from '../../../disk/faults.ts';
import { Cancelled, messageOf, UserError } from '../../../protocol/errors.ts';
import { type CellEvent, type RunEvent, timed } from '../../../protocol/events.ts';
import type { PerplexityResult, Run } from '../../../runs/index.ts';
import { runJob } from '../job.ts';
import type { OptimizeOptions } from '../options.ts';
import { Places } from '../places.ts';
import { recordRun } from '../record-run.ts';
import { StepStore } from '../step-store.ts';
import type { Workbench } from '../workbench.ts';
import { inputsOf } from './cell-inputs.ts';
import { CellRuns } from './find-runs.ts';
import { checkMatrix, lockMatrix } from './lock.ts';
import { obstacleOf } from './obstacles.ts';
import { decideCell, openCell } from './open-cell.ts';
import { type CellJob, openCellRun, runCell } from './run-cell.ts';
import { stepsFolder } from './steps-folder.ts';

export interface CellResult {
  readonly bits: string;
  readonly method: string;
  readonly title: string;
  readonly seed: number;
  readonly status: 'finished' | 'failed' | 'empty' | 'busy';
  /** Absolute path of its run; null where there is none. */
  readonly run: string | null;
  readonly perplexity: readonly PerplexityResult[];
  /** Why it has no numbers; null where it has. */
  readonly message: string | null;
}

/** The document of `optimize --json` for an experiment with a matrix. */
export interface MatrixResult {
  readonly cells: readonly CellResult[];
}

/**
 * Computes every cell that has no numbers yet. A cell that fails leaves the others alone; it is tried again the next
 * time.
 * @throws UserError `matrix/busy` while another process fills a table in the same folder of runs, `model/changed`.
 */
export async function* runMatrix(
  experiment: ResolvedExperiment,
  options: OptimizeOptions,
): AsyncGenerator<RunEvent, MatrixResult> {
  const folder = stepsFolder(experiment);
  await writing(folder, () => mkdir(folder, { recursive: true }));
  const lock = lockMatrix(folder, options.takeOver ?? false);
  const store = new StepStore(folder);
  const setting = {
    job: 'optimize' as const,
    experiment,
    options,
    places: new Places(null, [], experiment.runs, undefined, store),
    run: null,
  };
  try {
    return yield* runJob(setting, async function* (bench) {
      const cells = resolvedCells(experiment);
      const runs = await CellRuns.in(experiment.runs);
      const results: CellResult[] = [];
      for (const [index, cell] of cells.entries()) {
        checkMatrix(lock, folder);
        const place = { cell: index + 1, cells: cells.length };
        results.push(yield* fillCell({ bench, store, runs, options }, cell, place));
      }
      return { cells: results };
    });
  } finally {
    lock.release();
  }
}

/** What cells are filled with. */
export interface Filling {
  readonly bench: Workbench;
  readonly store: StepStore;
  readonly options: OptimizeOptions;
}

interface FillingTable extends Filling {
  readonly runs: CellRuns;
}

async function* fillCell(
  filling: FillingTable,
  cell: ResolvedCell,
  place: Pick<CellEvent, 'cell' | 'cells'>,
): AsyncGenerator<RunEvent, CellResult> {
  const { bits, method, title, seed, seeded } = cell;
  const name = { bits, method, title, seed };
  const tell = (state: CellEvent['state'], run: string | null, message?: string): CellEvent =>
    timed({ type: 'cell', state, ...place, ...name, seeded, run, ...(message !== undefined && { message }) });
  const fault = obstacleOf(cell, filling.bench.checkpoint.config);
  if (fault) {
    yield tell('empty', null, fault);
    return { ...name, status: 'empty', run: null, perplexity: [], message: fault };
  }
  let dir: string | null = null;
  try {
    const job = yield* jobOf(filling, cell);
    const done = filling.runs.finished(cell, job.inputs);
    if (done) {
      const { perplexity } = await done.readResults();
      yield tell('kept', done.dir);
      return { ...name, status: 'finished', run: done.dir, perplexity, message: null };
    }
    if (job.open.choice) yield tell('started', null, 'its exceptions are chosen first');
    const stopped = filling.runs.unfinished(cell, job.inputs);
    const decided = yield* decidedJob(filling, job, stopped);
    const run = await openCellRun(decided, stopped, filling.options.takeOver ?? false);
    dir = run.dir;
    yield tell('started', dir);
    const perplexity = yield* recordRun(run, runCell(decided, run));
    yield tell('finished', dir);
    return { ...name, status: 'finished', run: dir, perplexity, message: null };
  } catch (thrown) {
    const error = systemFault(thrown);
    if (endsAll(error)) throw error;
    const message = messageOf(error);
    const state = error instanceof UserError && error.code === 'runs/busy' ? 'busy' : 'failed';
    yield tell(state, dir, message);
    return { ...name, status: state, run: dir, perplexity: [], message };
  }
}

/** Faults that the next cell would meet as well. */
function endsAll(error: unknown): boolean {
  return error instanceof Cancelled || (error instanceof UserError && FATAL.includes(error.code));
}

const FATAL: readonly string[] = ['model/changed', 'file/unwritable'];

/** Reads the texts that tell a cell's inputs. */
export async function* jobOf(
  { bench, store, options }: Filling,
  cell: ResolvedCell,
): AsyncGenerator<RunEvent, CellJob> {
  const { signal } = options;
  const open = await openCell({ bench, store, signal }, cell);
  return { open, store, inputs: yield* inputsOf(open), signal };
}

/** Chooses the exceptions of a cell, as far as they are to be chosen. @param run of the cell, which has chosen them. */
export async function* decidedJob(
  { bench, store, options }: Filling,
  job: CellJob,
  run: Run | null,
): AsyncGenerator<RunEvent, CellJob> {
  const open = yield* decideCell({ bench, store, signal: options.signal }, job.open, run);
  return { ...job, open };
}
