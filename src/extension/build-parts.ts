/** The services, made of what they need of each other. Nothing here reads a file or starts the worker. */
import { join } from 'node:path';
import * as vscode from 'vscode';
import { PRODUCT_NAME } from '../protocol/ids.ts';
import { WorkerCellReasons } from './experiments/cell-reasons.ts';
import { ExperimentFiles } from './experiments/files.ts';
import { TableCounts } from './experiments/table-counts.ts';
import { workerEstimates } from './experiments/worker-estimates.ts';
import { WorkerJobs } from './jobs/index.ts';
import { UnfinishedJobs } from './jobs/unfinished.ts';
import type { Parts } from './parts.ts';
import { WorkspaceRuns } from './runs/store.ts';
import { RunSummaries } from './runs/summaries.ts';
import { TrustedWorker } from './trust.ts';

export interface BuiltParts {
  readonly parts: Parts;
  readonly unfinished: UnfinishedJobs;
}

/** Lets what it is given end with the extension. */
export type Own = <T extends { dispose(): unknown }>(item: T) => T;

export function buildParts(context: vscode.ExtensionContext, own: Own): BuiltParts {
  const log = own(vscode.window.createOutputChannel(PRODUCT_NAME, { log: true }));
  const worker = own(new TrustedWorker(context.extensionPath, log));
  const unfinished = new UnfinishedJobs(unfinishedPath(context), log);
  const jobs = own(new WorkerJobs(worker, unfinished, log));
  const runs = own(new WorkspaceRuns(context.workspaceState, log, jobs));
  jobs.settleWith((runDir) => runs.settle(runDir));
  const reasons = new WorkerCellReasons(
    async (params) => (await worker.connect()).request('obstacles', params),
    log,
  );
  const experiments = own(new ExperimentFiles(context));
  own(runs.follow(experiments));
  const tables = new TableCounts({ runs, reasons, log });
  const estimates = own(workerEstimates(worker, jobs, log));
  const compareText: Parts['compareText'] = async (...given) => (await worker.connect()).compare(...given);
  const summaries = own(new RunSummaries(runs, log));
  const services = { jobs, runs, summaries, experiments, reasons, tables, estimates, compareText };
  return { parts: { context, log, worker, ...services }, unfinished };
}

/** The folder that VS Code gives the extension for this workspace. */
function unfinishedPath({ storageUri }: vscode.ExtensionContext): string | null {
  return storageUri?.scheme === 'file' ? join(storageUri.fsPath, 'unfinished-jobs.json') : null;
}
