/** These helpers give the tests in the extension host what they need of the editor. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import * as vscode from 'vscode';
import type { Parts } from '../../../src/extension/parts.ts';
import { PANELS } from '../../../src/protocol/panels/registry.ts';

export const EXTENSION_ID = 'spinquant-lab.spinquant-lab';

/** Returns what the extension's parts see of each other. */
export async function activeParts(): Promise<Parts> {
  const extension = vscode.extensions.getExtension<Parts>(EXTENSION_ID);
  assert.ok(extension, `${EXTENSION_ID} is not among the extensions`);
  return extension.activate();
}

export function workspaceUri(name: string): vscode.Uri {
  return vscode.Uri.joinPath(vscode.workspace.workspaceFolders![0]!.uri, name);
}

/** Writes a file into the workspace and opens it. */
export async function openText(name: string, text: string): Promise<vscode.TextDocument> {
  await vscode.workspace.fs.writeFile(workspaceUri(name), new TextEncoder().encode(text));
  return open(name);
}

export async function open(name: string): Promise<vscode.TextDocument> {
  const document = await vscode.workspace.openTextDocument(workspaceUri(name));
  await vscode.window.showTextDocument(document);
  return document;
}

const UNTIL_MS = 15_000;

/**
 * Asks again and again until the answer is not undefined.
 * @param seen what there is instead, for the message when that takes too long.
 */
export async function until<T>(
  ask: () => T | undefined | Promise<T | undefined>,
  seen: () => unknown = () => 'nothing',
): Promise<T> {
  for (const began = performance.now(); performance.now() - began < UNTIL_MS; await sleep(50)) {
    const answer = await ask();
    if (answer !== undefined) return answer;
  }
  throw new Error(`Not within ${UNTIL_MS / 1000} s: ${ask}; there is ${JSON.stringify(await seen())}`);
}

export function lineOf(document: vscode.TextDocument, text: string): number {
  const offset = document.getText().indexOf(text);
  assert.ok(offset >= 0, `${text} is not in ${document.fileName}`);
  return document.positionAt(offset).line;
}

/** Titles of the CodeLenses by line, without their icons. */
export async function lensesOf(document: vscode.TextDocument): Promise<{ line: number; title: string }[]> {
  const lenses = await vscode.commands.executeCommand<vscode.CodeLens[]>(
    'vscode.executeCodeLensProvider',
    document.uri,
    100,
  );
  return lenses.map(({ range, command }) => ({
    line: range.start.line,
    title: (command?.title ?? '').replace(/\$\([^)]*\)\s*/g, ''),
  }));
}

/** Opens every panel, waits for all of them, and shows both views. */
export async function showEverything(): Promise<void> {
  for (const { command } of Object.values(PANELS)) await vscode.commands.executeCommand(command);
  const panels = () =>
    vscode.window.tabGroups.all.flatMap(({ tabs }) =>
      tabs.filter(({ input }) => input instanceof vscode.TabInputWebview),
    );
  await until(() => (panels().length === Object.keys(PANELS).length ? true : undefined));
  await vscode.commands.executeCommand('spinquant.runs.focus');
  await vscode.commands.executeCommand('spinquant.layers.focus');
}
