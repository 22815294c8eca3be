import * as vscode from 'vscode';
import type { RunEvent } from '../../protocol/events.ts';
import type { Progress } from '../../protocol/progress.ts';
import type { Job, JobRequest, Jobs } from '../services.ts';
import { experimentOverrides } from './launch.ts';
import { ProgressOfJobs } from './progress.ts';
import { JobQueue } from './queue.ts';
import type { UnfinishedJobs } from './unfinished.ts';
import type { Worker } from './worker.ts';

/** The queue as the rest of the extension sees it. */
export class WorkerJobs implements Jobs {
  readonly #changed = new vscode.EventEmitter<Job>();
  readonly onDidChange = this.#changed.event;
  readonly #happened = new vscode.EventEmitter<{ readonly job: Job; readonly event: RunEvent }>();
  readonly onEvent = this.#happened.event;
  readonly #progress = new ProgressOfJobs();
  readonly #queue: JobQueue;
  #settle: (runDir: string) => Promise<void> = async () => {};

  constructor(worker: Worker, unfinished: UnfinishedJobs, log: vscode.LogOutputChannel) {
    this.#queue = new JobQueue({
      connect: () => worker.connect(),
      overrides: experimentOverrides,
      ending: (runDir) => this.#settle(runDir),
      changed: (job) => {
        log.info(`${job.kind} ${job.experiment}: ${job.state}${job.message ? `. ${job.message}` : ''}`);
        this.#progress.changed(job);
        unfinished.keep(this.#queue.unfinished);
        this.#changed.fire(job);
      },
      happened: (job, event) => {
        this.#progress.hear(job, event);
        this.#happened.fire({ job, event });
      },
    });
  }

  /** Takes the reading of a run that must be done before its job counts as ended. */
  settleWith(settle: (runDir: string) => Promise<void>): void {
    this.#settle = settle;
  }

  get all(): readonly Job[] {
    return this.#queue.all;
  }

  get running(): Job | null {
    return this.#queue.running;
  }

  get held(): Job | null {
    return this.#queue.held;
  }

  proceed(): void {
    this.#queue.proceed();
  }

  progress(id: string): Progress {
    return this.#progress.of(id);
  }

  openJob(request: JobRequest): Job | null {
    return this.#queue.openJob(request);
  }

  submit(request: JobRequest): Promise<Job> {
    return this.#queue.submit(request);
  }

  cancel(id: string): Promise<void> {
    return this.#queue.cancel(id);
  }

  pause(id: string): Promise<void> {
    return this.#queue.pause(id);
  }

  dispose(): void {
    // What runs is not cancelled: it is interrupted by the window, which ends the worker.
    this.#changed.dispose();
    this.#happened.dispose();
  }
}
