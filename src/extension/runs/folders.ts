import { dirname, resolve } from 'node:path';
import * as vscode from 'vscode';
import { EXPERIMENT_GLOB, SETTINGS } from '../../protocol/ids.ts';
import { findDiskFiles } from '../disk-files.ts';
import { loadConfig } from '../lazy.ts';
import { settingsFor } from '../settings.ts';

/** Folders that hold runs: those of the usual name, and those that experiments or the settings name. */
export async function findRunFolders(): Promise<Set<string>> {
  const [records, experiments] = await Promise.all([
    findDiskFiles('**/.spinquant/runs/*/run.json'),
    findDiskFiles(EXPERIMENT_GLOB),
  ]);
  const folders = new Set<string>();
  for (const { fsPath } of records) folders.add(dirname(dirname(fsPath)));
  for (const uri of experiments) for (const folder of await foldersOfExperiment(uri)) folders.add(folder);
  return folders;
}

async function foldersOfExperiment(uri: vscode.Uri): Promise<string[]> {
  const { parseExperiment } = await loadConfig();
  const bytes = await vscode.workspace.fs.readFile(uri);
  const { experiment } = parseExperiment(new TextDecoder().decode(bytes), uri.fsPath);
  const set = settingsFor(uri.fsPath).get<string>(SETTINGS.runsFolder);
  const named = [experiment?.runs, set].filter((folder) => typeof folder === 'string' && folder !== '');
  return named.map((folder) => resolve(dirname(uri.fsPath), folder as string));
}
