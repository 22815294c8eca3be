import * as vscode from 'vscode';
import { messageOf } from '../../protocol/errors.ts';
import { experimentText } from '../experiments/files.ts';
import { loadConfig } from '../lazy.ts';

/** Saves the file and leads to its faults, if it has any: nothing is started that cannot run. */
export async function isReady(file: string, purpose: 'optimize' | 'evaluate' | 'inspect'): Promise<boolean> {
  const open = vscode.workspace.textDocuments.find(({ uri }) => uri.fsPath === file);
  if (open?.isDirty && !(await open.save())) return false;
  const { checkExperiment, formatFault, withHint } = await loadConfig();
  let fault: string | undefined;
  try {
    const { faults } = await checkExperiment(await experimentText(file), file, purpose);
    const first = faults.find(({ severity }) => severity === 'error');
    fault = first && withHint(formatFault(vscode.workspace.asRelativePath(file), first), first.hint);
    if (first === undefined) return true;
    const position = new vscode.Position(first.range.line - 1, first.range.column - 1);
    await vscode.window.showTextDocument(vscode.Uri.file(file), {
      selection: new vscode.Range(position, position),
    });
  } catch (error) {
    fault = messageOf(error);
  }
  const show = vscode.l10n.t('Show Problems');
  const chosen = await vscode.window.showErrorMessage(fault ?? '', show);
  if (chosen === show) await vscode.commands.executeCommand('workbench.actions.view.problems');
  return false;
}
