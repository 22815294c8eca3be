/** Wiring of the extension. Nothing here waits: what reads files or starts the worker does so when it is needed. */
import type * as vscode from 'vscode';
import { buildParts, type Own } from './build-parts.ts';
import { registerTools } from './chat/tools.ts';
import { openPendingDemo } from './demo/pending.ts';
import { ExperimentChecker } from './experiments/checker.ts';
import { registerExperiments } from './experiments/register.ts';
import { registerGate } from './gate/tests.ts';
import { registerJobCommands } from './jobs/commands.ts';
import { tellLeft } from './jobs/left.ts';
import { notifyEnds } from './jobs/notifications.ts';
import { showJobStatus } from './jobs/status.ts';
import type { UnfinishedJobs } from './jobs/unfinished.ts';
import type { Worker } from './jobs/worker.ts';
import { registerLayers } from './layers/register.ts';
import { registerModels } from './models/register.ts';
import { registerPanels } from './panels/index.ts';
import { registerRuns } from './runs/register.ts';
import type { Services } from './services.ts';
import { onceAllowed } from './trust.ts';

let worker: Worker | null = null;
let unfinished: UnfinishedJobs | null = null;

/** @returns what the parts see of each other, for the tests in the editor. */
export function activate(context: vscode.ExtensionContext): Services {
  const own: Own = (item) => {
    context.subscriptions.push(item);
    return item;
  };
  const built = buildParts(context, own);
  const { parts } = built;
  const { log, summaries } = parts;
  worker = parts.worker;
  unfinished = built.unfinished;
  const { left } = unfinished;
  const checker = own(new ExperimentChecker(parts.worker, log));
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
