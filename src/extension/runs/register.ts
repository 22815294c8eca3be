import * as vscode from 'vscode';
import { VIEWS } from '../../protocol/ids.ts';
import type { Parts } from '../parts.ts';
import { registerRunCommands } from './commands.ts';
import type { RunSummaries } from './summaries.ts';
import { RunsTree } from './tree.ts';

export function registerRuns(parts: Parts, summaries: RunSummaries): vscode.Disposable {
  const { runs, jobs } = parts;
  const tree = new RunsTree(runs, jobs, summaries);
  return vscode.Disposable.from(
    tree,
    vscode.window.createTreeView(VIEWS.runs, { treeDataProvider: tree, canSelectMany: true }),
    registerRunCommands(parts),
  );
}
