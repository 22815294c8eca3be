import { basename, dirname } from 'node:path';
import * as vscode from 'vscode';
import { COMMANDS } from '../../protocol/ids.ts';
import { experimentName } from '../words.ts';
import type { ExperimentFiles } from './files.ts';

/** Finds the experiment of a command's argument: a file of a lens or the explorer, a path, or an element of a view. */
export function fileOf(argument: unknown): string | null {
  if (argument instanceof vscode.Uri) return argument.fsPath;
  if (typeof argument === 'string') return argument;
  if (typeof argument !== 'object' || argument === null || !('experiment' in argument)) return null;
  return typeof argument.experiment === 'string' ? argument.experiment : null;
}

/** The experiment that a command means: the one given, the one in front, the only one, or the one the person picks. */
export async function chooseExperiment(files: ExperimentFiles, argument: unknown): Promise<string | null> {
  const given = fileOf(argument);
  if (given !== null) return given;
  const front = vscode.window.activeTextEditor?.document.uri;
  if (front?.scheme === 'file' && front.fsPath.endsWith('.spinquant.json')) return front.fsPath;
  await files.refresh();
  if (files.all.length === 0) return offerNew();
  if (files.all.length === 1) return files.all[0]!;
  return pickExperiment(files);
}

export async function pickExperiment(files: Pick<ExperimentFiles, 'all'>): Promise<string | null> {
  const items = files.all.map((file) => ({
    label: experimentName(file),
    description: vscode.workspace.asRelativePath(dirname(file)),
    detail: basename(file),
    file,
  }));
  const picked = await vscode.window.showQuickPick(items, {
    title: vscode.l10n.t('Choose an experiment'),
    matchOnDescription: true,
  });
  return picked?.file ?? null;
}

async function offerNew(): Promise<null> {
  const create = vscode.l10n.t('New Experiment');
  const chosen = await vscode.window.showInformationMessage(
    vscode.l10n.t('There is no experiment (*.spinquant.json) in this workspace yet.'),
    create,
  );
  if (chosen === create) await vscode.commands.executeCommand(COMMANDS.newExperiment);
  return null;
}
