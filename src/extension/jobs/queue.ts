/** One queue, one running job. Knows nothing of the editor. */
import { Cancelled, messageOf, UserError } from '../../protocol/errors.ts';
import type { RunEvent } from '../../protocol/events.ts';
import type { ExperimentOverrides } from '../../protocol/worker.ts';
import type { Job, JobKind, JobRequest, JobState } from '../services.ts';
import type { WorkerClient } from './client.ts';
import { markLeft } from './interrupted.ts';
import type { UnfinishedJob } from './unfinished.ts';
import { WorkerEnded } from './worker-ended.ts';

export interface QueueHost {
  /** The worker, started when there is none. */
  connect(): Promise<WorkerClient>;
  /** The editor's settings for an experiment. */
  overrides(experiment: string): ExperimentOverrides;
  /** A job is about to leave a run, whose folder holds how it went: resolves when whoever shows runs has read that. */
  ending(runDir: string): Promise<void>;
  changed(job: Job): void;
  happened(job: Job, event: RunEvent): void;
}

/** As the queue keeps it; everybody else sees {@link Job}. */
class Entry implements Job {
  readonly id: string;
  readonly kind: JobKind;
  readonly experiment: string;
  readonly request: JobRequest;
  readonly controller = new AbortController();
  state: JobState = 'waiting';
  runDir: string | null;
  message: string | null = null;
  paused = false;
  client: WorkerClient | null = null;
  readonly ended: Promise<Job>;
  end: () => void = () => {};

  constructor(id: string, request: JobRequest) {
    this.id = id;
    this.kind = request.kind;
    this.experiment = request.experiment;
    this.request = request;
    this.runDir = request.runDir ?? null;
    this.ended = new Promise((resolve) => {
      this.end = () => resolve(this);
    });
  }
}

/** An attribution of which nothing else is said. */
const ESTIMATED = { exact: false, curve: false, ownSettings: false } as const;
/** Ended jobs that are remembered. */
const HISTORY = 50;

export class JobQueue {
  readonly #host: QueueHost;
  #entries: Entry[] = [];
  #next = 1;
  /** Paused, and nothing was started since. */
  #held: Entry | null = null;

  constructor(host: QueueHost) {
    this.#host = host;
  }

  get all(): readonly Job[] {
    return this.#entries;
  }

  get running(): Job | null {
    return this.#entries.find((entry) => entry.state === 'running') ?? null;
  }

  /** See {@link Jobs.held}. */
  get held(): Job | null {
    return this.#held;
  }

  /** All that run or wait, in their order. */
  get unfinished(): UnfinishedJob[] {
    return this.#entries
      .filter(({ state }) => state === 'running' || state === 'waiting')
      .map(({ request, runDir, state }) => ({ request, runDir, atWork: state === 'running' }));
  }

  /** See {@link Jobs.openJob}. */
  openJob(request: JobRequest): Entry | null {
    return this.#entries.find((entry) => isSame(entry, request)) ?? null;
  }

  /** See {@link Jobs.submit}; resolves however the job ended. */
  submit(request: JobRequest): Promise<Job> {
    const same = this.openJob(request);
    if (same !== null) {
      this.proceed();
      return same.ended;
    }
    const entry = new Entry(`job-${this.#next++}`, request);
    const goesOn = this.#held !== null && continues(request, this.#held);
    const first = goesOn ? this.#entries.findIndex(({ state }) => state === 'waiting') : -1;
    this.#entries.splice(first < 0 ? this.#entries.length : first, 0, entry);
    this.#held = null;
    this.#host.changed(entry);
    this.#startNext();
    return entry.ended;
  }

  /** See {@link Jobs.proceed}. */
  proceed(): void {
    this.#held = null;
    this.#startNext();
  }

  /** A waiting job goes at once; a running one is asked, and killed with its worker if it goes on alone. */
  async cancel(id: string): Promise<void> {
    const entry = this.#find(id);
    if (entry === undefined) return;
    if (entry.state === 'waiting') this.#finish(entry, 'cancelled', 'Cancelled before it began.');
    entry.controller.abort();
    await entry.ended;
  }

  /** Lets the present step end; the run can be resumed. */
  async pause(id: string): Promise<void> {
    const entry = this.#find(id);
    if (entry === undefined) return;
    if (entry.state === 'waiting') return this.cancel(id);
    entry.paused = true;
    // Its death ends the job too.
    if (entry.client !== null) await entry.client.request('pause', { job: id }).catch(() => {});
    else entry.controller.abort();
    await entry.ended;
  }

  #find(id: string): Entry | undefined {
    return this.#entries.find(
      (entry) => entry.id === id && (entry.state === 'waiting' || entry.state === 'running'),
    );
  }

  #startNext(): void {
    if (this.running !== null || this.#held !== null) return;
    const entry = this.#entries.find(({ state }) => state === 'waiting');
    if (entry !== undefined) void this.#run(entry);
  }

  async #run(entry: Entry): Promise<void> {
    entry.state = 'running';
    this.#host.changed(entry);
    try {
      entry.client = await this.#worker();
      const { run } = await this.#request(entry, entry.client);
      // Of a table, the run of its last cell.
      if (entry.runDir !== null && entry.runDir !== run) await this.#host.ending(entry.runDir);
      entry.runDir = run;
      await this.#host.ending(run);
      this.#finish(entry, 'finished', null);
    } catch (error) {
      await this.#fail(entry, error);
    }
  }

  /** One in which nothing is being stopped any more: text that is in the way ends, or its process does. */
  async #worker(): Promise<WorkerClient> {
    const client = await this.#host.connect();
    await client.stopped();
    return client.alive ? client : this.#host.connect();
  }

  #request(entry: Entry, client: WorkerClient): Promise<{ readonly run: string }> {
    const {
      kind,
      experiment,
      runDir,
      takeOver = false,
      withoutRotations = false,
      attribution,
    } = entry.request;
    const common = { job: entry.id, experiment, overrides: this.#host.overrides(experiment) };
    const onEvent = (event: RunEvent) => this.#event(entry, event);
    const { signal } = entry.controller;
    if (kind === 'optimize')
      return client.follow('optimize', { ...common, resumeFrom: runDir ?? null, takeOver }, onEvent, signal);
    const run = runDir ?? null;
    if (kind === 'attribute')
      return client.follow('attribute', { ...common, ...ESTIMATED, ...attribution, run }, onEvent, signal);
    return client.follow(kind, { ...common, run, withoutRotations }, onEvent, signal);
  }

  #event(entry: Entry, event: RunEvent): void {
    if (event.type === 'run-started' && event.run !== null && event.run !== entry.runDir) {
      const before = entry.runDir;
      entry.runDir = event.run;
      // The file system may tell of the end of a cell when the next one has long begun.
      if (before !== null) void this.#host.ending(before);
      this.#host.changed(entry);
    }
    this.#host.happened(entry, event);
  }

  async #fail(entry: Entry, error: unknown): Promise<void> {
    const asked = askedFor(entry);
    if (asked === 'paused') this.#held = entry;
    if (error instanceof WorkerEnded) await markLeft(entry.runDir, entry.client?.pid, asked ?? 'interrupted');
    if (entry.runDir !== null) await this.#host.ending(entry.runDir);
    if (error instanceof WorkerEnded) {
      const message = asked === null ? error.message : 'It did not stop in time and was ended.';
      this.#finish(entry, asked ?? 'interrupted', message);
    } else if (error instanceof Cancelled || asked !== null) {
      this.#finish(entry, asked ?? 'cancelled', asked === 'paused' ? 'Paused.' : 'Cancelled.');
    } else {
      const hint = error instanceof UserError && error.hint !== '' ? ` ${error.hint}` : '';
      this.#finish(entry, 'failed', `${messageOf(error)}${hint}`);
    }
  }

  #finish(entry: Entry, state: JobState, message: string | null): void {
    entry.state = state;
    entry.message = message;
    entry.client = null;
    this.#forgetOld();
    this.#host.changed(entry);
    entry.end();
    this.#startNext();
  }

  #forgetOld(): void {
    const ended = this.#entries.filter(({ state }) => state !== 'waiting' && state !== 'running');
    const forgotten = new Set(ended.slice(0, Math.max(0, ended.length - HISTORY)));
    this.#entries = this.#entries.filter((entry) => !forgotten.has(entry));
  }
}

/** Null where nobody asked for an end. */
function askedFor({ paused, controller }: Entry): 'paused' | 'cancelled' | null {
  if (paused) return 'paused';
  return controller.signal.aborted ? 'cancelled' : null;
}

/** A job that is being stopped will not do what is asked for now. */
function isSame({ state, request, controller, paused }: Entry, asked: JobRequest): boolean {
  const isOpen = state === 'waiting' || state === 'running';
  if (!isOpen || paused || controller.signal.aborted || !asksTheSame(request, asked)) return false;
  // One that waits reads the file when it begins.
  return state === 'waiting' || (asked.contents !== undefined && asked.contents === request.contents);
}

function asksTheSame(a: JobRequest, b: JobRequest): boolean {
  const of = ({ kind, experiment, runDir, withoutRotations = false, attribution }: JobRequest) =>
    JSON.stringify([kind, experiment, runDir ?? null, withoutRotations, attribution]);
  return of(a) === of(b);
}

/** The run that was paused goes on, or the table of which it is a cell. */
function continues({ kind, experiment, runDir }: JobRequest, paused: Entry): boolean {
  if (kind !== paused.kind || experiment !== paused.experiment) return false;
  return runDir === undefined ? paused.request.runDir === undefined : runDir === paused.runDir;
}
