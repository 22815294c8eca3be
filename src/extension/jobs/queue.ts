/** One queue, one running job. Knows nothing of the editor. */
import { Cancelled, messageOf, UserError } from '../../protocol/errors.ts';
import type { RunEvent } from '../../protocol/events.ts';
import type { ExperimentOverrides } from '../../protocol/worker.ts';
import type { Job, JobKind, JobRequest, JobState } from '../services.ts';
import type { WorkerClient } from './client.ts';
import { markInterrupted } from './interrupted.ts';
import type { UnfinishedJob } from './unfinished.ts';
import { WorkerEnded } from './worker-ended.ts';

export interface QueueHost {
  /** The worker, started when there is none. */
  connect(): Promise<WorkerClient>;
  overrides(): ExperimentOverrides;
  /** A job is about to end, and its run folder holds how: resolves when whoever shows runs has read that. */
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

/** Ended jobs that are remembered. */
const HISTORY = 50;

export class JobQueue {
  readonly #host: QueueHost;
  #entries: Entry[] = [];
  #next = 1;

  constructor(host: QueueHost) {
    this.#host = host;
  }

  get all(): readonly Job[] {
    return this.#entries;
  }

  get running(): Job | null {
    return this.#entries.find((entry) => entry.state === 'running') ?? null;
  }

  /** All that run or wait, in their order. */
  get unfinished(): UnfinishedJob[] {
    return this.#entries
      .filter(({ state }) => state === 'running' || state === 'waiting')
      .map(({ request, runDir, state }) => ({ request, runDir, atWork: state === 'running' }));
  }

  /** Puts a job at the end; resolves when it has ended, however it did. */
  submit(request: JobRequest): Promise<Job> {
    const entry = new Entry(`job-${this.#next++}`, request);
    this.#entries.push(entry);
    this.#host.changed(entry);
    this.#startNext();
    return entry.ended;
  }

  /** A waiting job goes at once; a running one is asked, and killed with its worker after the grace period. */
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
    if (entry.state === 'waiting' || entry.client === null) return this.cancel(id);
    entry.paused = true;
    await entry.client.request('pause', { job: id }).catch(() => {}); // Its death ends the job too.
    await entry.ended;
  }

  /** Cancels everything. */
  dispose(): void {
    for (const { id } of [...this.#entries]) void this.cancel(id);
  }

  #find(id: string): Entry | undefined {
    return this.#entries.find(
      (entry) => entry.id === id && (entry.state === 'waiting' || entry.state === 'running'),
    );
  }

  #startNext(): void {
    if (this.running !== null) return;
    const entry = this.#entries.find(({ state }) => state === 'waiting');
    if (entry !== undefined) void this.#run(entry);
  }

  async #run(entry: Entry): Promise<void> {
    entry.state = 'running';
    this.#host.changed(entry);
    try {
      entry.client = await this.#host.connect();
      const { run } = await this.#request(entry, entry.client);
      entry.runDir = run;
      await this.#host.ending(run);
      this.#finish(entry, 'finished', null);
    } catch (error) {
      await this.#fail(entry, error);
    }
  }

  #request(entry: Entry, client: WorkerClient): Promise<{ readonly run: string }> {
    const { kind, experiment, runDir, takeOver = false, withoutRotations = false } = entry.request;
    const common = { job: entry.id, experiment, overrides: this.#host.overrides() };
    const onEvent = (event: RunEvent) => this.#event(entry, event);
    const { signal } = entry.controller;
    if (kind === 'optimize')
      return client.follow('optimize', { ...common, resumeFrom: runDir ?? null, takeOver }, onEvent, signal);
    return client.follow(kind, { ...common, run: runDir ?? null, withoutRotations }, onEvent, signal);
  }

  #event(entry: Entry, event: RunEvent): void {
    if (event.type === 'run-started' && event.run !== null && event.run !== entry.runDir) {
      entry.runDir = event.run;
      this.#host.changed(entry);
    }
    this.#host.happened(entry, event);
  }

  async #fail(entry: Entry, error: unknown): Promise<void> {
    const asked = entry.controller.signal.aborted || entry.paused;
    if (error instanceof WorkerEnded) await markInterrupted(entry.runDir, entry.client?.pid);
    if (entry.runDir !== null) await this.#host.ending(entry.runDir);
    if (error instanceof WorkerEnded) {
      this.#finish(
        entry,
        asked ? 'cancelled' : 'interrupted',
        asked ? 'It did not stop in time and was ended.' : error.message,
      );
    } else if (error instanceof Cancelled || asked) {
      this.#finish(entry, 'cancelled', entry.paused ? 'Paused.' : 'Cancelled.');
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
