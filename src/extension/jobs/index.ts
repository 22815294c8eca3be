import * as vscode from 'vscode';
import type { RunEvent } from '../../protocol/events.ts';
import type { Job, JobRequest, Jobs } from '../services.ts';
import { experimentOverrides } from './launch.ts';
import { JobQueue } from './queue.ts';
import type { Worker } from './worker.ts';

/** The queue as the rest of the extension sees it. */
export class WorkerJobs implements Jobs {
  readonly #changed = new vscode.EventEmitter<Job>();
  readonly onDidChange = this.#changed.event;
  readonly #happened = new vscode.EventEmitter<{ readonly job: Job; readonly event: RunEvent }>();
  readonly onEvent = this.#happened.event;
  readonly #queue: JobQueue;
  #settle: (runDir: string) => Promise<void> = async () => {};

  constructor(worker: Worker, log: vscode.LogOutputChannel) {
    this.#queue = new JobQueue({
      connect: () => worker.connect(),
      overrides: experimentOverrides,
      ending: (runDir) => this.#settle(runDir),
      changed: (job) => {
        log.info(`${job.kind} ${job.experiment}: ${job.state}${job.message ? `. ${job.message}` : ''}`);
        this.#changed.fire(job);
      },
      happened: (job, event) => this.#happened.fire({ job, event }),
    });
  }

  /** What is to have been read of a run before its job counts as ended. */
  settleWith(settle: (runDir: string) => Promise<void>): void {
    this.#settle = settle;
  }

  get all(): readonly Job[] {
    return this.#queue.all;
  }

  get running(): Job | null {
    return this.#queue.running;
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
    this.#queue.dispose();
  }
}
