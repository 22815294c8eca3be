/** Requests in, engine calls, events out. */
import type { MessageConnection } from 'vscode-jsonrpc';
import { Cancelled } from '../protocol/errors.ts';
import { Batches } from './batches.ts';
import { Requests } from './requests.ts';
import type { Told } from './running-job.ts';
import type { WorkMethod } from './work.ts';

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
  const requests = new Requests(connection);
  answerQuestions(requests);
  makeRuns(requests);
  doWork(requests);
  compareTexts(requests);
  obeyHost(requests, leave);
  // The host went away in the middle of a message: main.ts sees the channel close and ends the process.
  connection.onError(() => {});
  connection.listen();
  return {
    async stop(why) {
      const jobs = [...requests.running.values()];
      for (const job of jobs) job.abort(new Cancelled(why, 'interrupted'));
      await Promise.all(jobs.map((job) => job.ended));
    },
  };
}

/** What is answered in moments. */
function answerQuestions(requests: Requests): void {
  requests.on('handshake', async () => (await import('./handshake.ts')).handshake());
  requests.on('check', async (params) => (await import('../engine/index.ts')).checkExperimentText(params));
  requests.on('obstacles', async ({ text, file }) => {
    const { experimentOfText } = await import('../config/index.ts');
    return (await import('../engine/index.ts')).obstaclesOf(experimentOfText(text, file));
  });
  requests.on('sweep', async ({ runs, deletes }) => {
    const { listShared, sweepShared } = await import('../engine/index.ts');
    const { results, unknown } = await (deletes ? sweepShared(runs) : listShared(runs));
    const unused = results.filter(({ usedBy }) => usedBy === 0);
    return { unused: unused.map(({ step, bytes, isFresh }) => ({ step, bytes, isFresh })), unknown };
  });
  requests.on('export', async ({ run, format, out }) => ({
    tensors: await (await import('../engine/index.ts')).exportRun(run, format, out),
  }));
}

/** Jobs that make a run, or measure one. */
function makeRuns(requests: Requests): void {
  for (const method of ['optimize', 'evaluate', 'inspect'] as const)
    requests.onJob(method, async (params, job, tell) => {
      const { jobOf } = await import('./jobs.ts');
      return job.follow(await jobOf(method, params), tell);
    });
  requests.onJob('attribute', async (params, job, tell) => {
    const { attributeJob } = await import('./jobs.ts');
    return job.follow(await attributeJob(params), tell);
  });
}

/** Work that makes no run. */
function doWork(requests: Requests): void {
  const on = <M extends WorkMethod>(method: M) =>
    requests.onJob(method, async (params, job, tell) => {
      const { WORK } = await import('./work.ts');
      return job.follow((signal) => WORK[method](params, signal), tell);
    });
  on('exportModel');
  on('planExport');
  on('exportCheckpoint');
  on('importModel');
  on('download');
  on('estimate');
}

function compareTexts(requests: Requests): void {
  requests.onJob('compare', async (params, job) => {
    const { comparisonOf } = await import('./comparison.ts');
    const batches = new Batches<Told>((events) => requests.tellCompared({ job: params.job, events }));
    try {
      return await job.follow(comparisonOf(params), (event) => batches.add(event));
    } finally {
      batches.end();
    }
  });
}

function obeyHost(requests: Requests, leave: () => void): void {
  requests.on('pause', async ({ job }) => {
    requests.running.get(job)?.pause();
    return null;
  });
  requests.on('shutdown', async () => {
    setImmediate(leave);
    return null;
  });
}
