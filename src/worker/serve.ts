/** Requests in, engine calls, events out. */
import type { CancellationToken, MessageConnection } from 'vscode-jsonrpc';
import type { ComparisonEvent } from '../protocol/comparison.ts';
import { Cancelled, throwIfCancelled } from '../protocol/errors.ts';
import type { RunEvent } from '../protocol/events.ts';
import {
  COMPARED_NOTIFICATION,
  type ComparedNotification,
  EVENT_NOTIFICATION,
  type EventNotification,
  type WorkerMethod,
  type WorkerRequests,
} from '../protocol/worker.ts';
import { Batches } from './batches.ts';
import { toReply } from './failures.ts';
import type { WorkMethod } from './work.ts';

type Handler<M extends WorkerMethod> = (
  params: WorkerRequests[M]['params'],
  token: CancellationToken,
) => Promise<WorkerRequests[M]['result']>;

type Told = RunEvent | ComparisonEvent;
type Job<Event extends Told, T> = (signal: AbortSignal) => AsyncGenerator<Event, T>;

export interface Server {
  /** Stops what runs, in order; resolves when nothing runs any more. @param why for the records of runs. */
  stop(why: string): Promise<void>;
}

/**
 * Answers the requests of one host. What a request needs is loaded when it comes: the handshake must not wait for the
 * engine.
 * @param leave called once a `shutdown` has been answered.
 */
export function serve(connection: MessageConnection, leave: () => void): Server {
  const running = new Map<string, RunningJob>();
  const on = <M extends WorkerMethod>(method: M, handler: Handler<M>) =>
    connection.onRequest(method, async (params: WorkerRequests[M]['params'], token): Promise<unknown> => {
      try {
        return await handler(params, token);
      } catch (error) {
        throw toReply(error);
      }
    });
  const inJob = async <T>(id: string, token: CancellationToken, work: (job: RunningJob) => Promise<T>) => {
    const job = new RunningJob(token);
    running.set(id, job);
    try {
      return await work(job);
    } finally {
      running.delete(id);
      job.end();
    }
  };
  const onJob = (method: 'optimize' | 'evaluate' | 'inspect') =>
    on(method, (params, token) =>
      inJob(params.job, token, async (running) => {
        const { jobOf } = await import('./jobs.ts');
        const tell = (event: RunEvent) => notify(EVENT_NOTIFICATION, { job: params.job, event });
        return running.follow(await jobOf(method, params), tell);
      }),
    );
  // The host is gone: what is in the run folder stays.
  const notify = (name: string, what: EventNotification | ComparedNotification) => {
    if (process.connected) void connection.sendNotification(name, what);
  };
  on('compare', (params, token) =>
    inJob(params.job, token, async (running) => {
      const { comparisonOf } = await import('./comparison.ts');
      const batches = new Batches<RunEvent | ComparisonEvent>((events) =>
        notify(COMPARED_NOTIFICATION, { job: params.job, events }),
      );
      try {
        return await running.follow(comparisonOf(params), (event) => batches.add(event));
      } finally {
        batches.end();
      }
    }),
  );
  on('handshake', async () => (await import('./handshake.ts')).handshake());
  on('check', async (params) => (await import('../engine/index.ts')).checkExperimentText(params));
  on('obstacles', async ({ text, file }) => {
    const { experimentOfText } = await import('../config/index.ts');
    return (await import('../engine/index.ts')).obstaclesOf(experimentOfText(text, file));
  });
  on('sweep', async ({ runs, deletes }) => {
    const { listShared, sweepShared } = await import('../engine/index.ts');
    const { results, unknown } = await (deletes ? sweepShared(runs) : listShared(runs));
    const unused = results.filter(({ usedBy }) => usedBy === 0);
    return { unused: unused.map(({ step, bytes, isFresh }) => ({ step, bytes, isFresh })), unknown };
  });
  on('export', async ({ run, format, out }) => ({
    tensors: await (await import('../engine/index.ts')).exportRun(run, format, out),
  }));
  const onWork = <M extends WorkMethod>(method: M) =>
    on(method, (params, token) =>
      inJob(params.job, token, async (running) => {
        const { WORK } = await import('./work.ts');
        const tell = (event: RunEvent) => notify(EVENT_NOTIFICATION, { job: params.job, event });
        return running.follow((signal) => WORK[method](params, signal), tell);
      }),
    );
  for (const method of [
    'exportModel',
    'planExport',
    'exportCheckpoint',
    'importModel',
    'download',
    'estimate',
  ] as const)
    onWork(method);
  for (const method of ['optimize', 'evaluate', 'inspect'] as const) onJob(method);
  on('attribute', (params, token) =>
    inJob(params.job, token, async (running) => {
      const { attributeJob } = await import('./jobs.ts');
      const tell = (event: RunEvent) => notify(EVENT_NOTIFICATION, { job: params.job, event });
      return running.follow(await attributeJob(params), tell);
    }),
  );
  on('pause', async ({ job }) => {
    running.get(job)?.pause();
    return null;
  });
  on('shutdown', async () => {
    setImmediate(leave);
    return null;
  });
  // The host went away in the middle of a message: main.ts sees the channel close and ends the process.
  connection.onError(() => {});
  connection.listen();
  return {
    async stop(why) {
      const jobs = [...running.values()];
      for (const job of jobs) job.abort(new Cancelled(why, 'interrupted'));
      await Promise.all(jobs.map((job) => job.ended));
    },
  };
}

const PAUSED = new Cancelled('Paused.', 'paused');

/** One job at work, which stops when asked. */
class RunningJob {
  readonly ended: Promise<void>;
  readonly #controller = new AbortController();
  #resolveEnded: () => void = () => {};
  #learning = false;
  #pauseAsked = false;

  constructor(token: CancellationToken) {
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    token.onCancellationRequested(() => this.abort());
    if (token.isCancellationRequested) this.abort();
  }

  /** @param tell is given each event before the job goes on. */
  async follow<Event extends Told, T>(job: Job<Event, T>, tell: (event: Event) => void): Promise<T> {
    throwIfCancelled(this.#controller.signal);
    const events = job(this.#controller.signal);
    for (;;) {
      const next = await events.next();
      if (next.done) return next.value;
      tell(next.value);
      this.#watch(next.value);
    }
  }

  /** While rotations are learned the present step is finished first, so that none of its work is lost. */
  pause(): void {
    if (this.#learning) this.#pauseAsked = true;
    else this.abort(PAUSED);
  }

  /** The first reason counts. */
  abort(reason = new Cancelled()): void {
    this.#controller.abort(reason);
  }

  end(): void {
    this.#resolveEnded();
  }

  #watch(event: Told): void {
    if (event.type === 'phase' && event.phase === 'learn') this.#learning = event.state === 'started';
    if (this.#pauseAsked && (event.type === 'step' || !this.#learning)) this.abort(PAUSED);
  }
}
