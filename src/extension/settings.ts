import * as vscode from 'vscode';

/**
 * The settings as they hold for a file: each folder of a workspace may have its own.
 * @param file absolute path; null where none is meant.
 */
export function settingsFor(file: string | null): vscode.WorkspaceConfiguration {
  return vscode.workspace.getConfiguration(undefined, file === null ? null : vscode.Uri.file(file));
}
