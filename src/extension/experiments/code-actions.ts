import { dirname, relative, sep } from 'node:path';
import * as vscode from 'vscode';
import { COMMANDS } from '../../protocol/ids.ts';
import type { ExperimentChecker } from './checker.ts';
import type { Fix } from './fixes.ts';

/** Light bulbs on the faults of an experiment file. */
export class ExperimentFixes implements vscode.CodeActionProvider {
  static readonly kinds = [vscode.CodeActionKind.QuickFix];
  readonly #checker: ExperimentChecker;

  constructor(checker: ExperimentChecker) {
    this.#checker = checker;
  }

  async provideCodeActions(
    document: vscode.TextDocument,
    range: vscode.Range,
    context: vscode.CodeActionContext,
  ): Promise<vscode.CodeAction[]> {
    const faults = this.#checker.faultsAt(document, range);
    if (faults.length === 0) return [];
    const { fixesOf } = await import('./fixes.ts');
    return faults.flatMap((fault) => {
      const diagnostics = context.diagnostics.filter(({ code }) => code === fault.code);
      return fixesOf(fault, document.getText()).map((fix, index) =>
        toAction(document, fix, diagnostics, index === 0),
      );
    });
  }
}

function toAction(
  document: vscode.TextDocument,
  fix: Fix,
  diagnostics: vscode.Diagnostic[],
  isPreferred: boolean,
): vscode.CodeAction {
  const action = new vscode.CodeAction(titleOf(fix), vscode.CodeActionKind.QuickFix);
  action.diagnostics = diagnostics;
  action.isPreferred = isPreferred && fix.kind !== 'choose';
  if (fix.kind === 'choose')
    action.command = {
      command: COMMANDS.choosePath,
      title: action.title,
      arguments: [document.uri, fix.path, fix.what],
    };
  else action.edit = replaceWith(document, fix.text);
  return action;
}

function titleOf(fix: Fix): string {
  switch (fix.kind) {
    case 'rename':
      return vscode.l10n.t('Change to "{0}"', fix.name);
    case 'move':
      return vscode.l10n.t('Move to {0}', fix.to);
    case 'set':
      return vscode.l10n.t('Set {0} to {1}', fix.path.join('.'), JSON.stringify(fix.value));
    case 'remove':
      return vscode.l10n.t('Remove {0}', fix.path.join('.'));
    case 'choose':
      return fix.what === 'model'
        ? vscode.l10n.t('Choose the model folder …')
        : vscode.l10n.t('Choose the text file …');
  }
}

/** An edit of just the part in which two texts differ, so that the cursor stays. */
export function replaceWith(document: vscode.TextDocument, text: string): vscode.WorkspaceEdit {
  const old = document.getText();
  let start = 0;
  while (start < old.length && old[start] === text[start]) start++;
  let tail = 0;
  const most = Math.min(old.length, text.length) - start;
  while (tail < most && old[old.length - 1 - tail] === text[text.length - 1 - tail]) tail++;
  const range = new vscode.Range(document.positionAt(start), document.positionAt(old.length - tail));
  const edit = new vscode.WorkspaceEdit();
  edit.replace(document.uri, range, text.slice(start, text.length - tail));
  return edit;
}

/** Asks for a model folder or a text file and writes it into the experiment, relative to it. */
export async function choosePath(uri: unknown, path: unknown, what: unknown): Promise<void> {
  if (!(uri instanceof vscode.Uri) || !Array.isArray(path)) return;
  const isModel = what === 'model';
  const picked = await vscode.window.showOpenDialog({
    canSelectFolders: isModel,
    canSelectFiles: !isModel,
    defaultUri: vscode.Uri.file(dirname(uri.fsPath)),
    title: isModel ? vscode.l10n.t('Choose the model folder') : vscode.l10n.t('Choose the text file'),
    openLabel: vscode.l10n.t('Choose'),
  });
  if (!picked?.[0]) return;
  const { withValue } = await import('./fixes.ts');
  const document = await vscode.workspace.openTextDocument(uri);
  const value = relative(dirname(uri.fsPath), picked[0].fsPath).split(sep).join('/') || '.';
  await vscode.workspace.applyEdit(replaceWith(document, withValue(document.getText(), path, value)));
}
