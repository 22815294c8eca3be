import * as vscode from 'vscode';
import { Cancelled, messageOf, UserError } from '../protocol/errors.ts';

/** Says what went wrong and what helps; whoever stopped it themselves need not be told. */
export function showProblem(log: vscode.LogOutputChannel, error: unknown): void {
  if (error instanceof Cancelled) return;
  log.error(messageOf(error));
  const hint = error instanceof UserError ? ` ${error.hint}` : '';
  void vscode.window.showErrorMessage(`${messageOf(error)}${hint}`);
}
