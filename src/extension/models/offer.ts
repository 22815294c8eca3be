import { dirname } from 'node:path';
import * as vscode from 'vscode';
import { newExperiment, type TakenModel } from '../experiments/new-experiment.ts';

/** Says that a model is there, and leads on to an experiment with it. */
export async function offerExperiment(message: string, model: TakenModel): Promise<void> {
  const { t } = vscode.l10n;
  const hasFolder = (vscode.workspace.workspaceFolders ?? []).some(({ uri }) => uri.scheme === 'file');
  const create = t('New Experiment');
  // Only what lies in a folder of its own can be opened beside an experiment.
  const open = t('Open Its Folder');
  const actions = hasFolder || model.hubName !== null ? [create] : [open];
  const chosen = await vscode.window.showInformationMessage(message, ...actions);
  if (chosen === create) await newExperiment(model);
  if (chosen === open)
    await vscode.commands.executeCommand('vscode.openFolder', vscode.Uri.file(dirname(model.path)));
}
