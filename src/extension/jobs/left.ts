import { setTimeout as sleep } from 'node:timers/promises';
import * as vscode from 'vscode';
import { loadRuns } from '../lazy.ts';
import type { Parts } from '../parts.ts';
import type { JobRequest } from '../services.ts';
import { experimentName } from '../words.ts';
import { submit } from './submit.ts';
import type { UnfinishedJob } from './unfinished.ts';

/**
 * A window that was reloaded in a browser leaves its extensions at work for up to five minutes. So long is waited for
 * them, and for the worker that ends at its next step.
 */
const ENDING_MS = 330_000;
const LOOK_MS = 500;
/** Between two cells of a table none is at work for a moment. */
const QUIET_LOOKS = 4;

/** What is left to do of a job, and how far it came. */
interface Rest {
  readonly request: JobRequest;
  readonly text: string;
}

/** Tells in one notification what the window left when it was closed or reloaded. Nothing is started unasked. */
export async function tellLeft(parts: Parts, left: readonly UnfinishedJob[]): Promise<void> {
  const rests = (await Promise.all(left.map((job) => restOf(parts, job)))).filter((rest) => rest !== null);
  const [first, ...others] = rests;
  if (first === undefined) return;
  const { t } = vscode.l10n;
  const waited = others.length === 0 ? '' : ` ${t('Jobs that waited behind it: {0}.', others.length)}`;
  const resume = t('Resume');
  const chosen = await vscode.window.showWarningMessage(`${first.text}${waited}`, resume);
  // Without waiting for one another: the queue keeps their order.
  if (chosen === resume) for (const { request } of rests) void submit(parts, request);
}

/** Null where nothing is left: it came to its end, or another process is at work on it. */
async function restOf(parts: Parts, { request, runDir, atWork }: UnfinishedJob): Promise<Rest | null> {
  const { experiment, kind } = request;
  const name = experimentName(experiment);
  const { t } = vscode.l10n;
  if (!atWork) return { request, text: t('{0}: it waited for its turn when the window was closed.', name) };
  if (!(await isQuiet(parts, experiment, runDir))) return null;
  if (kind !== 'optimize')
    return { request, text: t('{0}: it was being measured when the window was closed.', name) };
  const cells = request.runDir === undefined ? await countOf(parts, experiment) : null;
  if (cells !== null) {
    const text = t(
      '{0}: its table was being filled when the window was closed. {1} of {2} cells are done.',
      ...[name, cells.done, cells.total],
    );
    return cells.done === cells.total ? null : { request, text };
  }
  return restOfRun(request, runDir, name);
}

/** True once nobody is at work on the runs of an experiment; false where somebody still is after the longest wait. */
async function isQuiet({ runs, jobs }: Parts, experiment: string, runDir: string | null): Promise<boolean> {
  const deadline = Date.now() + ENDING_MS;
  for (let quiet = 0; quiet < QUIET_LOOKS; await sleep(LOOK_MS)) {
    // The person started it again, and does not wait for being asked.
    if (Date.now() > deadline || jobs.all.some((job) => job.experiment === experiment)) return false;
    const isRunning = (dir: string) => runs.get(dir)?.record.status === 'running';
    const dirs = new Set(
      runs
        .ofExperiment(experiment)
        .map(({ dir }) => dir)
        .filter(isRunning),
    );
    if (runDir !== null) dirs.add(runDir);
    for (const dir of dirs) await runs.settle(dir);
    quiet = [...dirs].some(isRunning) ? 0 : quiet + 1;
  }
  return true;
}

/** The count of a table, with what the worker says of its model. */
async function countOf({ tables, reasons }: Parts, file: string) {
  await tables.of(file);
  await reasons.told(file);
  return tables.of(file);
}

async function restOfRun(request: JobRequest, runDir: string | null, name: string): Promise<Rest | null> {
  const { t } = vscode.l10n;
  const began = { request, text: t('{0}: it was being optimized when the window was closed.', name) };
  if (runDir === null) return began;
  const { isResumable, openRun, RunHistory } = await loadRuns();
  try {
    const run = await openRun(runDir);
    if (run.record.status === 'finished') return null;
    const last = new RunHistory(await run.readEvents()).steps.at(-1);
    if (last === undefined || !isResumable(run)) return began;
    const text = t(
      '{0}: it was being optimized when the window was closed. {1} of {2} steps are done.',
      ...[name, last.step, last.of],
    );
    return { request: { ...request, runDir }, text };
  } catch {
    return began; // A folder that is gone, or damaged: the log says so, and the work begins anew.
  }
}
