import * as vscode from 'vscode';
import { PANELS } from '../../protocol/panels/registry.ts';
import { type Group, panelColumn, type Tab, textColumn } from './columns.ts';

const OURS: readonly string[] = Object.values(PANELS).map(({ viewType }) => viewType);

/** The column for a panel that is made. */
export function columnForPanel(): vscode.ViewColumn {
  const column = panelColumn(groups());
  if (column === 'split') return vscode.ViewColumn.Beside;
  return column === 'here' ? vscode.ViewColumn.Active : column;
}

/** Opens a file without covering a panel. */
export async function showText(path: string): Promise<void> {
  const viewColumn = textColumn(groups(), path);
  await vscode.window.showTextDocument(vscode.Uri.file(path), { viewColumn });
}

function groups(): Group[] {
  return vscode.window.tabGroups.all.map(({ viewColumn, isActive, tabs }) => ({
    column: viewColumn,
    active: isActive,
    tabs: tabs.map(tabOf),
  }));
}

function tabOf({ input }: vscode.Tab): Tab {
  if (input instanceof vscode.TabInputText) return { kind: 'text', path: input.uri.fsPath };
  // The workbench puts a word of its own before the type.
  const isOurs =
    input instanceof vscode.TabInputWebview && OURS.some((type) => input.viewType.endsWith(type));
  return { kind: isOurs ? 'panel' : 'other', path: null };
}
