/** Wiring of the extension. Nothing here waits: what reads files or starts the worker does so when it is needed. */
import { join } from 'node:path';
import * as vscode from 'vscode';
import { PRODUCT_NAME } from '../protocol/ids.ts';
import { registerTools } from './chat/tools.ts';
import { openPendingDemo } from './demo/pending.ts';
import { WorkerCellReasons } from './experiments/cell-reasons.ts';
import { ExperimentChecker } from './experiments/checker.ts';
import { ExperimentFiles } from './experiments/files.ts';
import { registerExperiments } from './experiments/register.ts';
import { TableCounts } from './experiments/table-counts.ts';
import { workerEstimates } from './experiments/worker-estimates.ts';
import { registerGate } from './gate/tests.ts';
import { registerJobCommands } from './jobs/commands.ts';
import { WorkerJobs } from './jobs/index.ts';
import { tellLeft } from './jobs/left.ts';
import { notifyEnds } from './jobs/notifications.ts';
import { showJobStatus } from './jobs/status.ts';
import { UnfinishedJobs } from './jobs/unfinished.ts';
import type { Worker } from './jobs/worker.ts';
import { registerLayers } from './layers/register.ts';
import { registerModels } from './models/register.ts';
import { registerPanels } from './panels/index.ts';
import type { Parts } from './parts.ts';
import { registerRuns } from './runs/register.ts';
import { WorkspaceRuns } from './runs/store.ts';
import { RunSummaries } from './runs/summaries.ts';
import type { CompareText, Services } from './services.ts';
import { onceAllowed, TrustedWorker } from './trust.ts';

let worker: Worker | null = null;
let unfinished: UnfinishedJobs | null = null;

/** The folder that VS Code gives the extension for this workspace. */
function unfinishedPath({ storageUri }: vscode.ExtensionContext): string | null {
  return storageUri?.scheme === 'file' ? join(storageUri.fsPath, 'unfinished-jobs.json') : null;
}

/** @returns what the parts see of each other, for the tests in the editor. */
export function activate(context: vscode.ExtensionContext): Services {
  const own = <T extends { dispose(): unknown }>(item: T): T => {
    context.subscriptions.push(item);
    return item;
  };
  const log = own(vscode.window.createOutputChannel(PRODUCT_NAME, { log: true }));
  const trusted = own(new TrustedWorker(context.extensionPath, log));
  worker = trusted;
  unfinished = new UnfinishedJobs(unfinishedPath(context), log);
  const { left } = unfinished;
  const jobs = own(new WorkerJobs(trusted, unfinished, log));
  const runs = own(new WorkspaceRuns(context.workspaceState, log, jobs));
  jobs.settleWith((runDir) => runs.settle(runDir));
  const reasons = new WorkerCellReasons(
    async (params) => (await trusted.connect()).request('obstacles', params),
    log,
  );
  const experiments = own(new ExperimentFiles(context));
  own(runs.follow(experiments));
  const tables = new TableCounts({ runs, reasons, log });
  const estimates = own(workerEstimates(trusted, jobs, log));
  const compareText: CompareText = async (...given) => (await trusted.connect()).compare(...given);
  const parts: Parts = {
    context,
    log,
    worker: trusted,
    jobs,
    runs,
    experiments,
    reasons,
    tables,
    estimates,
    compareText,
  };
  const summaries = own(new RunSummaries(parts.runs, log));
  const checker = own(new ExperimentChecker(trusted, log));
  own(onceAllowed(() => registerJobCommands(parts), log));
  own(showJobStatus(parts));
  own(notifyEnds(parts));
  own(registerExperiments(parts, checker, summaries));
  own(registerModels(parts));
  own(registerRuns(parts, summaries));
  own(registerLayers(parts, checker, summaries));
  own(registerGate(parts));
  own(registerTools(parts, summaries));
  own(registerPanels(parts));
  // Afterwards: reading runs loads the schema, which activation need not wait for.
  setImmediate(() => {
    const runsFound = parts.runs.refresh().then(() => tellLeft(parts, left));
    for (const looked of [parts.experiments.refresh(), runsFound, openPendingDemo(parts)])
      looked.catch((error: unknown) => log.error(error instanceof Error ? error : String(error)));
  });
  return parts;
}

/** The window closes: what runs is remembered, and the worker gets the time to write the checkpoint of what runs. */
export async function deactivate(): Promise<void> {
  unfinished?.close();
  await worker?.stop();
}
