import { dirname } from 'node:path';
import * as vscode from 'vscode';
import type { Parts } from '../parts.ts';

/** The experiment that the next window is to open. */
const PENDING = 'spinquant.demoToOpen';

export function openInNextWindow({ globalState }: vscode.ExtensionContext, file: string): Thenable<void> {
  return globalState.update(PENDING, file);
}

/** Goes on in the window that a demo was opened in. */
export async function openPendingDemo(parts: Parts): Promise<void> {
  const { globalState } = parts.context;
  const file = globalState.get<string>(PENDING);
  const isHere = ({ uri }: vscode.WorkspaceFolder) => file !== undefined && uri.fsPath === dirname(file);
  if (file === undefined || !vscode.workspace.workspaceFolders?.some(isHere)) return;
  await globalState.update(PENDING, undefined);
  await (await import('./try-demo.ts')).openDemo(parts, file);
}
