import * as vscode from 'vscode';
import { COMMANDS } from '../../protocol/ids.ts';
import type { Parts } from '../parts.ts';

/** The commands that bring a model: the demo's, one of another file, one of the Hub. */
export function registerModels(parts: Parts): vscode.Disposable {
  const { registerCommand } = vscode.commands;
  return vscode.Disposable.from(
    registerCommand(COMMANDS.tryDemo, async () => (await import('../demo/try-demo.ts')).tryDemo(parts)),
    registerCommand(COMMANDS.importModel, async () => (await import('./import.ts')).importModel(parts)),
    registerCommand(COMMANDS.download, async () => (await import('./download.ts')).downloadFromHub(parts)),
  );
}
