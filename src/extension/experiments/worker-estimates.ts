import { randomUUID } from 'node:crypto';
import type * as vscode from 'vscode';
import { experimentOverrides } from '../jobs/launch.ts';
import type { Worker } from '../jobs/worker.ts';
import type { Jobs } from '../services.ts';
import { refusal } from '../trust.ts';
import { ExperimentEstimates } from './estimates.ts';

/** Estimates by the worker, with the settings of the editor, while no job runs in it. */
export function workerEstimates(
  worker: Worker,
  jobs: Jobs,
  log: vscode.LogOutputChannel,
): ExperimentEstimates & vscode.Disposable {
  const ask: ConstructorParameters<typeof ExperimentEstimates>[0]['ask'] = async (params) => {
    const client = await worker.connect();
    const overrides = experimentOverrides(params.file);
    return client.request('estimate', { ...params, job: randomUUID(), overrides });
  };
  const mayAsk = () => jobs.running === null && refusal() === null;
  const estimates = new ExperimentEstimates({ ask, mayAsk }, log);
  const ends = jobs.onDidChange(() => jobs.running === null && estimates.jobEnded());
  return Object.assign(estimates, { dispose: () => ends.dispose() });
}
