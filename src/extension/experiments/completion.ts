import type { Dirent } from 'node:fs';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { getLocation } from 'jsonc-parser';
import * as vscode from 'vscode';

/** Paths of folders and files inside the texts of an experiment that name them. */
export class PathCompletion implements vscode.CompletionItemProvider {
  static readonly triggers = ['"', '/'];

  async provideCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
  ): Promise<vscode.CompletionItem[]> {
    const offset = document.offsetAt(position);
    const { path, previousNode, isAtPropertyKey } = getLocation(document.getText(), offset);
    if (isAtPropertyKey || previousNode?.type !== 'string' || offset <= previousNode.offset) return [];
    const what = pathKind(path);
    if (what === null) return [];
    const begin = previousNode.offset + 1;
    const written = document.getText(new vscode.Range(document.positionAt(begin), position));
    const slash = written.lastIndexOf('/') + 1;
    const folder = resolve(dirname(document.uri.fsPath), written.slice(0, slash));
    const end = document.positionAt(previousNode.offset + previousNode.length - 1);
    const range = new vscode.Range(document.positionAt(begin + slash), end);
    const entries = (await entriesOf(folder)).filter((entry) => what === 'text' || entry.isDirectory());
    return entries.map((entry) => toItem(entry, join(folder, entry.name), range));
  }
}

/** The kind of path at a place of the experiment, if any. */
export function pathKind(path: readonly (string | number)[]): 'folder' | 'text' | null {
  const place = path.filter((part) => typeof part === 'string').join('.');
  if (place === 'model' || place === 'runs') return 'folder';
  return /^(calibration|evaluation\.perplexity)\.text(\.path)?$/.test(place) ? 'text' : null;
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.filter(({ name }) => !name.startsWith('.') && name !== 'node_modules');
  } catch {
    return []; // What is written so far is no folder.
  }
}

function toItem(entry: Dirent, path: string, range: vscode.Range): vscode.CompletionItem {
  const isFolder = entry.isDirectory();
  const isModel = isFolder && existsSync(join(path, 'config.json'));
  const item = new vscode.CompletionItem(
    entry.name,
    isFolder ? vscode.CompletionItemKind.Folder : vscode.CompletionItemKind.File,
  );
  item.insertText = isFolder && !isModel ? `${entry.name}/` : entry.name;
  item.range = range;
  item.sortText = `${isModel ? 0 : isFolder ? 1 : 2}${entry.name}`;
  if (isModel) item.detail = vscode.l10n.t('model folder');
  else if (isFolder) item.command = { command: 'editor.action.triggerSuggest', title: '' };
  return item;
}
