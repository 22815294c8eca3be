import { existsSync } from 'node:fs';
import * as vscode from 'vscode';
import { pickExperiment } from './choose.ts';
import { type ExceptionInput, withExceptions } from './exceptions-text.ts';
import type { ExperimentFiles } from './files.ts';

/**
 * Adds exceptions to an experiment in its editor, where they can be looked at and undone before the file is saved.
 * @param file if it is gone, the person picks another one.
 */
export async function putExceptions(
  files: Pick<ExperimentFiles, 'all'>,
  file: string,
  exceptions: readonly ExceptionInput[],
): Promise<void> {
  const path = existsSync(file) ? file : await pickExperiment(files);
  if (path === null) return;
  const document = await vscode.workspace.openTextDocument(path);
  const editor = await vscode.window.showTextDocument(document, { viewColumn: vscode.ViewColumn.One });
  const before = document.getText();
  const after = withExceptions(before, exceptions);
  if (after === null) {
    void vscode.window.showInformationMessage(vscode.l10n.t('The experiment has these exceptions already.'));
    return;
  }
  const all = new vscode.Range(document.positionAt(0), document.positionAt(before.length));
  await editor.edit((edit) => edit.replace(all, after));
  const place = document.positionAt(document.getText().lastIndexOf('"exceptions"'));
  editor.selection = new vscode.Selection(place, place);
  editor.revealRange(new vscode.Range(place, place), vscode.TextEditorRevealType.InCenterIfOutsideViewport);
}
