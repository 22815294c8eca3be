import * as vscode from 'vscode';
import type { Fault, ResolvedExperiment } from '../../config/index.ts';
import { messageOf, UserError } from '../../protocol/errors.ts';
import { experimentText } from '../experiments/files.ts';
import { loadConfig } from '../lazy.ts';
import { contentsOfText } from './contents.ts';

type Purpose = 'optimize' | 'evaluate' | 'inspect';

/** An experiment as the worker will read it. */
export interface Readiness {
  /** Null where faults keep it from running. */
  readonly experiment: ResolvedExperiment | null;
  readonly errors: readonly Fault[];
  /** See {@link JobRequest.contents}. */
  readonly contents: string;
}

/**
 * Saves the file, since the worker reads what is on the disk, and checks what it then holds.
 * @throws UserError `editor/unsaved` where it could not be saved, or what reading it throws.
 */
export async function readied(file: string, purpose: Purpose): Promise<Readiness> {
  const open = vscode.workspace.textDocuments.find(({ uri }) => uri.fsPath === file);
  if (open?.isDirty && !(await open.save()))
    throw new UserError(
      'editor/unsaved',
      vscode.l10n.t('{0} has changes that could not be saved.', vscode.workspace.asRelativePath(file)),
      vscode.l10n.t('Save it in the editor, then start again.'),
    );
  const { checkExperiment } = await loadConfig();
  const text = await experimentText(file);
  const { experiment, faults } = await checkExperiment(text, file, purpose);
  const errors = faults.filter(({ severity }) => severity === 'error');
  return { experiment, errors, contents: contentsOfText(text) };
}

/** Saves the file and leads to its faults, if it has any: nothing is started that cannot run. */
export async function isReady(file: string, purpose: Purpose): Promise<boolean> {
  const { formatFault, withHint } = await loadConfig();
  let fault: string | undefined;
  try {
    const [first] = (await readied(file, purpose)).errors;
    fault = first && withHint(formatFault(vscode.workspace.asRelativePath(file), first), first.hint);
    if (first === undefined) return true;
    const position = new vscode.Position(first.range.line - 1, first.range.column - 1);
    await vscode.window.showTextDocument(vscode.Uri.file(file), {
      selection: new vscode.Range(position, position),
    });
  } catch (error) {
    // VS Code has told why.
    if (error instanceof UserError && error.code === 'editor/unsaved') return false;
    fault = messageOf(error);
  }
  const show = vscode.l10n.t('Show Problems');
  const chosen = await vscode.window.showErrorMessage(fault ?? '', show);
  if (chosen === show) await vscode.commands.executeCommand('workbench.actions.view.problems');
  return false;
}
