/** One host's requests: how they are answered, which of them are at work, and what is told of these. */
import type { CancellationToken, MessageConnection } from 'vscode-jsonrpc';
import type { RunEvent } from '../protocol/events.ts';
import {
  COMPARED_NOTIFICATION,
  type ComparedNotification,
  EVENT_NOTIFICATION,
  type EventNotification,
  type WorkerMethod,
  type WorkerRequests,
} from '../protocol/worker.ts';
import { toReply } from './failures.ts';
import { RunningJob } from './running-job.ts';

type Handler<M extends WorkerMethod> = (
  params: WorkerRequests[M]['params'],
  token: CancellationToken,
) => Promise<WorkerRequests[M]['result']>;

/** Methods whose work has a name, by which it is told of and stopped. */
export type JobMethod = {
  [M in WorkerMethod]: M extends 'pause'
    ? never
    : WorkerRequests[M]['params'] extends { job: string }
      ? M
      : never;
}[WorkerMethod];

export class Requests {
  /** By their names. */
  readonly running = new Map<string, RunningJob>();
  readonly #connection: MessageConnection;

  constructor(connection: MessageConnection) {
    this.#connection = connection;
  }

  on<M extends WorkerMethod>(method: M, handler: Handler<M>): void {
    this.#connection.onRequest(
      method,
      async (params: WorkerRequests[M]['params'], token): Promise<unknown> => {
        try {
          return await handler(params, token);
        } catch (error) {
          throw toReply(error);
        }
      },
    );
  }

  /** @param work is given the job, which counts as running until that ends, and the way to tell its events. */
  onJob<M extends JobMethod>(
    method: M,
    work: (
      params: WorkerRequests[M]['params'],
      job: RunningJob,
      tell: (event: RunEvent) => void,
    ) => Promise<WorkerRequests[M]['result']>,
  ): void {
    this.on(method, async (params, token) => {
      const job = new RunningJob(token);
      this.running.set(params.job, job);
      const tell = (event: RunEvent) => this.#notify(EVENT_NOTIFICATION, { job: params.job, event });
      try {
        return await work(params, job, tell);
      } finally {
        this.running.delete(params.job);
        job.end();
      }
    });
  }

  tellCompared(told: ComparedNotification): void {
    this.#notify(COMPARED_NOTIFICATION, told);
  }

  #notify(name: string, what: EventNotification | ComparedNotification): void {
    // Without its host, what is in the run folder stays.
    if (process.connected) void this.#connection.sendNotification(name, what);
  }
}
