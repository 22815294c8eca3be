/** A run that was stopped goes on, with the settings that it began with. */

import * as vscode from 'vscode';
import type { Run } from '../../runs/index.ts';
import { experimentText } from '../experiments/files.ts';
import { loadConfig, loadRuns } from '../lazy.ts';
import type { Parts } from '../parts.ts';
import { runDirOf, shownName } from '../runs/choose.ts';
import { statusText } from '../words.ts';
import { goesOn, type Outcome, submit } from './submit.ts';

/** Changed settings that are named; the others are counted. */
const NAMED = 4;

/** @param argument of the command: a run, or a job that waits until what was paused goes on. */
export async function resume(parts: Parts, argument: unknown): Promise<Outcome | null> {
  if (isWaiting(argument)) {
    parts.jobs.proceed();
    return null;
  }
  const runDir = runDirOf(argument) ?? parts.jobs.held?.runDir ?? (await newestResumable(parts));
  if (runDir === null) return null;
  const { openRun } = await loadRuns();
  const run = await openRun(runDir);
  const { status } = run.record;
  if (status === 'finished' || parts.jobs.running?.runDir === runDir) {
    void vscode.window.showInformationMessage(
      vscode.l10n.t(
        '{0} is {1}: there is nothing to resume.',
        shownName(run, parts.runs).name,
        statusText(parts.jobs.running?.runDir === runDir ? 'running' : status),
      ),
    );
    return null;
  }
  const takeOver = status === 'running';
  if (takeOver && !(await mayTakeOver(run))) return null;
  const request = { kind: 'optimize' as const, experiment: run.experimentFile, takeOver };
  // A cell is a part of filling its table, and a job's run of what the cluster was handed: that goes on, where it stopped.
  if (run.record.cell !== null && (await goesOn(run.experimentFile).catch(() => false)))
    return submit(parts, request);
  void tellSettings(parts, run);
  return submit(parts, { ...request, runDir });
}

function isWaiting(argument: unknown): boolean {
  if (typeof argument !== 'object' || argument === null || !('job' in argument)) return false;
  const { job } = argument;
  return typeof job === 'object' && job !== null && 'state' in job && job.state === 'waiting';
}

/** Where the file was edited since, the person may expect its settings: those of the run go on. */
async function tellSettings(parts: Parts, run: Run): Promise<void> {
  const changes = await changesSince(run).catch(() => []);
  if (changes.length === 0) return;
  const more = changes.length - NAMED;
  const named = changes.slice(0, NAMED).join(', ');
  const text = more > 0 ? vscode.l10n.t('{0} and {1} more', named, more) : named;
  await vscode.window.showInformationMessage(
    vscode.l10n.t(
      '{0} goes on with the settings that it began with. The file has changed since: {1}. "Optimize Rotation" starts a run with those.',
      ...[shownName(run, parts.runs).name, text],
    ),
  );
}

/** `rotation.seed 0 → 1`: what the run has, and what the file has now. */
async function changesSince(run: Run): Promise<string[]> {
  const { parseExperiment } = await loadConfig();
  const { experiment: now } = parseExperiment(await experimentText(run.experimentFile), run.experimentFile);
  if (now === null) return [];
  const { changedSettings } = await import('../experiments/lens-model.ts');
  const experiment = await run.readExperiment();
  const say = (value: unknown) => (typeof value === 'string' ? value : (JSON.stringify(value) ?? '–'));
  return changedSettings({ run, experiment }, now).map(({ path, a, b }) => `${path} ${say(a)} → ${say(b)}`);
}

/** A run of another window, of a terminal or of another machine: the person may know that its process is dead. */
async function mayTakeOver({ record }: Run): Promise<boolean> {
  const { pid, host } = record.process;
  const action = vscode.l10n.t('Take Over');
  const chosen = await vscode.window.showWarningMessage(
    vscode.l10n.t('The run {0} is at work in process {1} on {2}. Take it over?', record.id, pid, host),
    { modal: true, detail: vscode.l10n.t('A process that still works on it stops at its next step.') },
    action,
  );
  return chosen === action;
}

/** Of the experiment in front, else of any. */
async function newestResumable({ runs, experiments }: Parts): Promise<string | null> {
  const { isResumable, mayBeLeft } = await loadRuns();
  const { active } = experiments;
  const own = active === null ? [] : runs.ofExperiment(active);
  const all = runs.list();
  const run = own.find(isResumable) ?? own.find(mayBeLeft) ?? all.find(isResumable) ?? all.find(mayBeLeft);
  if (run === undefined)
    void vscode.window.showInformationMessage(
      vscode.l10n.t('No stopped run has a checkpoint to go on from.'),
    );
  return run?.dir ?? null;
}
