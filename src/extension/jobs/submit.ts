/** The way of every job into the queue. */

import * as vscode from 'vscode';
import type { Experiment } from '../../config/index.ts';
import { PANELS } from '../../protocol/panels/registry.ts';
import { experimentText } from '../experiments/files.ts';
import { loadConfig } from '../lazy.ts';
import type { Parts } from '../parts.ts';
import type { Job, JobRequest } from '../services.ts';
import { experimentName, jobTitle } from '../words.ts';

/** The end of a job, for whoever ran the command. */
export type Outcome = Pick<Job, 'state' | 'runDir' | 'message'>;

/** Puts a job into the queue, and shows its work where none runs before it. */
export async function submit(parts: Parts, request: JobRequest): Promise<Outcome> {
  const { jobs } = parts;
  parts.experiments.activate(request.experiment);
  const [waits, isNew] = [jobs.running !== null, jobs.openJob(request) === null];
  const ended = jobs.submit(request);
  const name = `${jobTitle(request.kind)} ${experimentName(request.experiment)}`;
  if (!isNew) briefly(vscode.l10n.t('{0}: it was asked for already', name));
  else if (waits) briefly(vscode.l10n.t('{0}: waits for its turn', name));
  if (request.kind === 'optimize' && !(isNew && waits)) void showWork(request);
  const { state, runDir, message } = await ended;
  return { state, runDir, message };
}

function briefly(text: string): void {
  vscode.window.setStatusBarMessage(text, 5000);
}

/** Beside the file; the person keeps the keyboard where it is. A matrix shows its table, all else its curve. */
async function showWork({ experiment, runDir }: JobRequest): Promise<void> {
  if (runDir === undefined && (await hasMatrix(experiment)))
    await vscode.commands.executeCommand(PANELS.results.command, vscode.Uri.file(experiment));
  else await vscode.commands.executeCommand(PANELS.training.command, runDir ?? vscode.Uri.file(experiment));
}

async function hasMatrix(file: string): Promise<boolean> {
  return (await experimentOf(file))?.matrix !== undefined;
}

/** Whether computing an experiment again goes on with the runs that there are: those of a table, and of a cluster's jobs. */
export async function goesOn(file: string): Promise<boolean> {
  const experiment = await experimentOf(file);
  return experiment?.matrix !== undefined || experiment?.cluster?.scheduler === 'slurm';
}

async function experimentOf(file: string): Promise<Experiment | null> {
  const { parseExperiment } = await loadConfig();
  return parseExperiment(await experimentText(file), file).experiment;
}
