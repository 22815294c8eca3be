import { homedir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { COMMANDS } from '../../protocol/ids.ts';
import { experimentText } from '../experiments/files.ts';
import type { Parts } from '../parts.ts';
import { showProblem } from '../problem.ts';
import { expectedText } from '../words.ts';
import { DEMO_FOLDER, placeDemo } from './files.ts';
import { openInNextWindow } from './pending.ts';

/** The worker may have to start for it. */
const ESTIMATE_MS = 8000;

/** The demo in a folder of this workspace, or in one that this window then opens. */
export async function tryDemo(parts: Parts): Promise<string | null> {
  const { context, log } = parts;
  try {
    const root = vscode.workspace.workspaceFolders?.find(({ uri }) => uri.scheme === 'file')?.uri.fsPath;
    if (root === undefined) return await inNewFolder(context);
    const file = await placeDemo(context.extensionPath, join(root, DEMO_FOLDER));
    await openDemo(parts, file);
    return file;
  } catch (error) {
    showProblem(log, error);
    return null;
  }
}

/** Nothing is written before the person knows where. */
async function inNewFolder(context: vscode.ExtensionContext): Promise<null> {
  const parent = await askParent();
  if (parent === null) return null;
  const folder = join(parent, DEMO_FOLDER);
  await openInNextWindow(context, await placeDemo(context.extensionPath, folder));
  await vscode.commands.executeCommand('vscode.openFolder', vscode.Uri.file(folder), {
    forceReuseWindow: true,
  });
  return null;
}

async function askParent(): Promise<string | null> {
  const { t } = vscode.l10n;
  const make = t('Make {0}', join('~', DEMO_FOLDER));
  const choose = t('Choose a Folder…');
  const chosen = await vscode.window.showInformationMessage(
    t('The demo needs a folder.'),
    {
      modal: true,
      detail: t(
        'A small model, two texts and an experiment, 2.4 MB in all, are copied to a new folder {0}, and this window opens it. Nothing is downloaded. Learning its rotations then takes less than a minute.',
        DEMO_FOLDER,
      ),
    },
    make,
    choose,
  );
  if (chosen === make) return homedir();
  if (chosen !== choose) return null;
  const picked = await vscode.window.showOpenDialog({
    title: t('The folder to put {0} into', DEMO_FOLDER),
    openLabel: t('Put It Here'),
    canSelectFolders: true,
    canSelectFiles: false,
  });
  return picked?.[0]?.fsPath ?? null;
}

/** Opens the experiment, and says what a run will take. */
export async function openDemo(parts: Parts, file: string): Promise<void> {
  const { t } = vscode.l10n;
  await vscode.window.showTextDocument(vscode.Uri.file(file), { preview: false });
  const expected = await parts.estimates.soon(file, await experimentText(file), ESTIMATE_MS);
  const optimize = t('Optimize Rotation');
  const cost = expected === null ? [] : [t('It takes {0} on this machine.', expectedText(expected))];
  const said = t('The demo is ready: optimize its rotations, and watch the curve.');
  // Not waited for: the command has done its part.
  void vscode.window.showInformationMessage([said, ...cost].join(' '), optimize).then(async (chosen) => {
    if (chosen === optimize) await vscode.commands.executeCommand(COMMANDS.optimize, file);
  });
}
