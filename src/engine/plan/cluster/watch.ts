/** Fills the table of a matrix on a cluster: submits what is ready, and watches until every cell is settled. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, ResolvedExperiment } from '../../../config/index.ts';
import { cancelledBy, throwIfCancelled, UserError } from '../../../protocol/errors.ts';
import { type CellEvent, type QueueEvent, type RunEvent, timed } from '../../../protocol/events.ts';
import { CommandFault } from '../../scheduler/command.ts';
import { lastingReason, type QueueEntry } from '../../scheduler/queue.ts';
import { readQueue } from '../../scheduler/slurm.ts';
import { runJob } from '../job.ts';
import type { CellResult, MatrixResult } from '../matrix/run-matrix.ts';
import { stepsFolder } from '../matrix/steps-folder.ts';
import type { EngineOptions } from '../options.ts';
import { Places } from '../places.ts';
import { StepStore } from '../step-store.ts';
import type { Workbench } from '../workbench.ts';
import { chooseTasks, shortName } from './choose-tasks.ts';
import { demandOf } from './demand.ts';
import { type Ending, Endings } from './endings.ts';
import { ClusterFolder, type Submission } from './folder.ts';
import { cancelNeedless } from './jobs.ts';
import { freePlaces, giveFreePlaces, type Handing, type LiveTask, liveTasks, submitTasks } from './submit.ts';
import { type Place, placesOf, type Standing, survey } from './survey.ts';

export interface ClusterOptions extends EngineOptions {
  /** Program and first arguments that start the command line on a node. */
  readonly program: readonly string[];
}

/** Faults of a job that all others would meet as well. */
const FATAL: readonly string[] = [
  'cluster/version',
  'cluster/experiment-changed',
  'model/changed',
  'file/unwritable',
];
/** A cell whose job was killed so often without a word is given up. */
const MOST_LOSSES = 3;
/** The controller is shared by all: it is asked less often while nothing happens. */
const [LEAST_WAIT_MS, MOST_WAIT_MS] = [1000, 15_000];

/**
 * Ends when every cell has its numbers, or cannot have them. An abort leaves the jobs alone: the next call goes on with
 * them.
 * @throws UserError `cluster/…`, and what `runMatrix` throws.
 */
export async function* fillOnCluster(
  experiment: ResolvedExperiment,
  cluster: Cluster,
  options: ClusterOptions,
): AsyncGenerator<RunEvent, MatrixResult> {
  const folder = new ClusterFolder(experiment);
  await folder.make();
  // The first question to Slurm: where there is none, nothing else is done.
  const queue = await readQueue(folder.jobs);
  const store = new StepStore(stepsFolder(experiment), 'leave');
  const setting = {
    job: 'optimize' as const,
    experiment,
    options,
    places: new Places(null, [], experiment.runs, undefined, store),
    run: null,
  };
  return yield* runJob(setting, async function* (bench) {
    const { signal, program, kernels } = options;
    const places = yield* placesOf(bench, experiment, store, signal);
    const standings = yield* survey(bench, places, store, new Set(), signal);
    const demand = await demandOf(bench, store, standings);
    const handing = { experiment, cluster, folder, program, kernels, demand };
    return yield* new Watch({ bench, store, places, handing, signal }).run(queue);
  });
}

interface Watched {
  readonly bench: Workbench;
  readonly store: StepStore;
  readonly places: readonly Place[];
  readonly handing: Handing;
  readonly signal: AbortSignal | undefined;
}

class Watch {
  readonly #watched: Watched;
  readonly #endings: Endings;
  /** Why a cell gets no numbers in this watch, by its key. */
  readonly #given = new Map<string, { readonly state: 'failed' | 'busy'; readonly message: string }>();
  /** Steps that failed, with the message. */
  readonly #failed = new Map<string, string>();
  readonly #losses = new Map<string, number>();
  readonly #told = new Map<string, CellEvent['state']>();
  readonly #warned = new Set<string>();
  readonly #began = Date.now();
  #isAway = false;

  constructor(watched: Watched) {
    this.#watched = watched;
    this.#endings = new Endings(watched.handing.folder);
  }

  async *run(first: readonly QueueEntry[]): AsyncGenerator<RunEvent, MatrixResult> {
    const { handing, bench, places, store, signal } = this.#watched;
    let [queue, submissions] = [first, await handing.folder.submissions()];
    this.#endings.forget(submissions, liveTasks(submissions, queue));
    let wait = LEAST_WAIT_MS;
    for (;;) {
      const live = this.#own(liveTasks(submissions, queue));
      const endings = await this.#endings.look(submissions, live, queue);
      for (const ending of endings) yield* this.#take(ending);
      yield* this.#tellStarted(live);
      const taken = new Set(live.map(({ task }) => task.cell));
      const standings = yield* survey(bench, places, store, taken, signal);
      const isChanged = yield* this.#tellFinished(standings);
      yield* this.#giveUp(standings, taken);
      if (standings.every((standing) => this.#isSettled(standing))) {
        const finished = standings.filter(({ isFinished }) => isFinished);
        await cancelNeedless(live, new Set(finished.map(({ place }) => place.cell.key)));
        return { cells: await this.#results(standings) };
      }
      const submitted = yield* this.#submit(standings, submissions, live);
      if (!submitted) await giveFreePlaces(this.#watched.handing, live);
      yield* this.#warnOfLasting(live);
      yield this.#queueEvent(live, standings);
      wait =
        submitted || isChanged || endings.length > 0 ? LEAST_WAIT_MS : Math.min(MOST_WAIT_MS, wait * 1.2);
      await this.#sleep(wait);
      [queue, submissions] = [yield* this.#askQueue(queue), await handing.folder.submissions()];
      this.#throwIfCancelledElsewhere(submissions);
    }
  }

  /** Jobs of cells that the experiment has: it may have had others. */
  #own(live: readonly LiveTask[]): LiveTask[] {
    const keys = new Set(this.#watched.places.map(({ cell }) => cell.key));
    return live.filter(({ task }) => keys.has(task.cell));
  }

  async *#take({ task, how, code, message, hint, tail }: Ending): AsyncGenerator<RunEvent, void> {
    if (how === 'done') return;
    const words = `${task.title}: ${message}`;
    if (how === 'fault' && code !== null && FATAL.includes(code)) throw new UserError(code, words, hint);
    const losses = (this.#losses.get(task.cell) ?? 0) + 1;
    if (how === 'lost') this.#losses.set(task.cell, losses);
    const log = tail === null ? '' : `The end of its log:\n${tail}`;
    const isAgain = how === 'lost' && losses < MOST_LOSSES;
    const next = isAgain ? 'It is submitted again.' : hint;
    yield timed({
      type: 'warning',
      message: words,
      hint: [next, log].filter((part) => part !== '').join('\n'),
    });
    if (isAgain) return;
    if (how === 'fault' && task.step !== null) this.#failed.set(task.step, message);
    this.#given.set(task.cell, { state: how === 'busy' ? 'busy' : 'failed', message });
  }

  *#tellStarted(live: readonly LiveTask[]): Generator<RunEvent> {
    for (const place of this.#watched.places) {
      const found = live.find(
        ({ task, entry }) => task.cell === place.cell.key && entry?.state === 'running',
      );
      if (!found?.entry) continue;
      const where = `job ${found.entry.job}_${found.index} on ${found.entry.nodes}`;
      const step = found.task.title.split(': ').slice(1).join(': ');
      yield* this.#tell(place, 'started', null, step === '' ? where : `${step}, ${where}`);
    }
  }

  /** @returns true where there was something to tell. */
  *#tellFinished(standings: readonly Standing[]): Generator<RunEvent, boolean> {
    const before = [...this.#told.values()].filter((state) => state === 'finished').length;
    const isFirst = this.#told.size === 0;
    for (const { place, run, isFinished } of standings) {
      if (place.obstacle !== null) yield* this.#tell(place, 'empty', null, place.obstacle);
      if (!isFinished || this.#told.get(place.cell.key) === 'kept') continue;
      yield* this.#tell(place, isFirst ? 'kept' : 'finished', run?.dir ?? null);
    }
    return [...this.#told.values()].filter((state) => state === 'finished').length > before;
  }

  /** A cell that waits for nothing but steps that failed fails with them. */
  *#giveUp(standings: readonly Standing[], taken: ReadonlySet<string>): Generator<RunEvent> {
    for (const { place, run, missing, isFinished } of standings) {
      const { key } = place.cell;
      const ready = missing.filter(({ isReady }) => isReady);
      const faults = ready.flatMap(({ id }) => this.#failed.get(shortName(id)) ?? []);
      if (ready.length > 0 && faults.length === ready.length && !taken.has(key) && !isFinished)
        this.#given.set(key, { state: 'failed', message: faults[0]! });
      const given = this.#given.get(key);
      if (given && !isFinished) yield* this.#tell(place, given.state, run?.dir ?? null, given.message);
    }
  }

  *#tell(
    { cell, at }: Place,
    state: CellEvent['state'],
    run: string | null,
    message?: string,
  ): Generator<RunEvent> {
    if (this.#told.get(cell.key) === state) return;
    this.#told.set(cell.key, state);
    const { bits, method, title, seed, seeded } = cell;
    const place = { cell: at + 1, cells: this.#watched.places.length };
    const why = message === undefined ? {} : { message };
    yield timed({ type: 'cell', state, ...place, bits, method, title, seed, seeded, run, ...why });
  }

  #isSettled({ place, isFinished }: Standing): boolean {
    return isFinished || place.obstacle !== null || this.#given.has(place.cell.key);
  }

  /** @returns true where jobs were submitted. */
  async *#submit(
    standings: readonly Standing[],
    known: readonly Submission[],
    live: readonly LiveTask[],
  ): AsyncGenerator<RunEvent, boolean> {
    const { handing } = this.#watched;
    const open = standings.filter((standing) => !this.#isSettled(standing));
    const submitted = await submitTasks(handing, (submissions) => {
      // A cancel since the last look is meant for what would be submitted now, too.
      this.#throwIfCancelledElsewhere(submissions);
      // What another watcher submitted since counts as it stands.
      const others = submissions.filter(({ token }) => !known.some((one) => one.token === token));
      const all = [...live, ...others.flatMap(withoutEntries)];
      const cells = new Set(all.map(({ task }) => task.cell));
      const steps = new Set([...all.flatMap(({ task }) => task.step ?? []), ...this.#failed.keys()]);
      return { tasks: chooseTasks(open, { cells, steps }), limit: freePlaces(handing.cluster.maxJobs, all) };
    });
    if (submitted === null) return false;
    const { tasks, job, limit } = submitted;
    yield timed({ type: 'submitted', job: job ?? 0, tasks: tasks.length, limit });
    return true;
  }

  #queueEvent(live: readonly LiveTask[], standings: readonly Standing[]): QueueEvent {
    const entries = live.flatMap(({ entry }) => entry ?? []);
    const pending = entries.filter(({ state }) => state === 'pending');
    return timed({
      type: 'queue',
      running: entries.filter(({ state }) => state === 'running').length,
      pending: pending.length,
      reasons: [...new Set(pending.flatMap(({ reason }) => (reason === '' ? [] : [reason])))],
      cells: standings.length,
      settled: standings.filter((standing) => this.#isSettled(standing)).length,
    });
  }

  /** A job that Slurm took, and that will never run as it is. */
  *#warnOfLasting(live: readonly LiveTask[]): Generator<RunEvent> {
    for (const reason of new Set(live.flatMap(({ entry }) => entry?.reason ?? []))) {
      const setting = lastingReason(reason);
      if (setting === null || this.#warned.has(reason)) continue;
      this.#warned.add(reason);
      const message = `Jobs wait, and will go on waiting: Slurm says ${reason}.`;
      const hint = `Change ${setting} under "cluster": cancel the jobs with \`spinquant cluster cancel FILE\`, and start again.`;
      yield timed({ type: 'warning', message, hint });
    }
  }

  /** A controller that does not answer for a while is no fault of the jobs. */
  async *#askQueue(last: readonly QueueEntry[]): AsyncGenerator<RunEvent, readonly QueueEntry[]> {
    try {
      const queue = await readQueue(this.#watched.handing.folder.jobs);
      this.#isAway = false;
      return queue;
    } catch (error) {
      if (!(error instanceof CommandFault)) throw error;
      if (!this.#isAway)
        yield timed({
          type: 'warning',
          message: `squeue does not answer: ${error.message}`,
          hint: 'It is asked again.',
        });
      this.#isAway = true;
      return last;
    }
  }

  #throwIfCancelledElsewhere(submissions: readonly Submission[]): void {
    const cancelled = submissions.find(
      ({ cancelledAt }) => cancelledAt !== null && Date.parse(cancelledAt) > this.#began,
    );
    if (cancelled)
      throw new UserError(
        'cluster/cancelled',
        'The jobs were cancelled.',
        'What was done so far is kept. `spinquant optimize FILE --cluster` goes on with what is missing.',
      );
  }

  async #sleep(ms: number): Promise<void> {
    const { signal } = this.#watched;
    throwIfCancelled(signal);
    await sleep(ms, undefined, signal && { signal }).catch((error: unknown) => {
      throw signal?.aborted ? cancelledBy(signal) : error;
    });
  }

  async #results(standings: readonly Standing[]): Promise<CellResult[]> {
    const results: CellResult[] = [];
    for (const { place, run, isFinished } of standings) {
      const { bits, method, title, seed } = place.cell;
      const given = this.#given.get(place.cell.key);
      const perplexity = isFinished && run ? (await run.readResults()).perplexity : [];
      const status = isFinished ? 'finished' : (given?.state ?? 'empty');
      const message = isFinished ? null : (given?.message ?? place.obstacle);
      results.push({ bits, method, title, seed, status, run: run?.dir ?? null, perplexity, message });
    }
    return results;
  }
}

function withoutEntries(submission: Submission): LiveTask[] {
  return submission.tasks.map((task, index) => ({ submission, index, task, entry: null }));
}
