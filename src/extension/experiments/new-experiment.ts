import { existsSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import * as vscode from 'vscode';
import { findDiskFiles } from '../disk-files.ts';
import { experimentText, PRESETS, type PresetName } from './presets.ts';
import { askStep, BACK } from './steps.ts';

const NOT_HERE = '{**/node_modules/**,**/.spinquant/**,**/.git/**}';
const MOST_FILES = 300;

interface Choice extends vscode.QuickPickItem {
  /** A path, `null` for none, or `browse`. */
  readonly value: { readonly path: string | null } | 'browse';
}

interface Answers {
  preset: PresetName;
  model: string;
  train: string | null;
  test: string | null;
}

/** The wizard: preset, model, text to learn on, text to measure on; then the file is there and open. */
export async function newExperiment(): Promise<string | null> {
  const root = vscode.workspace.workspaceFolders?.find(({ uri }) => uri.scheme === 'file')?.uri.fsPath;
  if (root === undefined) {
    const open = vscode.l10n.t('Open Folder');
    const chosen = await vscode.window.showInformationMessage(
      vscode.l10n.t('An experiment lives in a folder: open one first.'),
      open,
    );
    if (chosen === open) await vscode.commands.executeCommand('vscode.openFolder');
    return null;
  }
  const answers = await ask();
  if (answers === null) return null;
  const file = freeName(root, answers.preset);
  const portable = (path: string) => relative(root, path).split(sep).join('/') || '.';
  const text = experimentText({
    preset: answers.preset,
    model: portable(answers.model),
    train: answers.train === null ? null : portable(answers.train),
    test: answers.test === null ? null : portable(answers.test),
    maxPositions: await positionsOf(answers.model),
  });
  const uri = vscode.Uri.file(file);
  await vscode.workspace.fs.writeFile(uri, new TextEncoder().encode(text));
  await vscode.window.showTextDocument(uri);
  return file;
}

async function ask(): Promise<Answers | null> {
  const answers: Partial<Answers> = {};
  const pages: (() => Promise<boolean | typeof BACK>)[] = [
    () => askPreset(answers),
    () => askPath(2, vscode.l10n.t('The model to quantize'), modelChoices, 'model', answers),
    () => askPath(3, vscode.l10n.t('The text to learn rotations on'), textChoices, 'train', answers),
    () => askPath(4, vscode.l10n.t('The text to measure perplexity on'), textChoices, 'test', answers),
  ];
  for (let page = 0; page < pages.length; ) {
    const answer = await pages[page]!();
    if (answer === false) return null;
    page += answer === BACK ? -1 : 1;
  }
  return answers as Answers;
}

const TITLE = () => vscode.l10n.t('New experiment');
const PAGES = 4;

async function askPreset(answers: Partial<Answers>): Promise<boolean | typeof BACK> {
  const picked = await askStep({
    title: TITLE(),
    placeholder: vscode.l10n.t('What to start from'),
    items: PRESETS.map((preset) => ({ ...presetWords(preset), preset })),
    step: 1,
    of: PAGES,
  });
  if (picked === undefined || picked === BACK) return false;
  answers.preset = picked.preset;
  return true;
}

function presetWords(preset: PresetName): vscode.QuickPickItem {
  switch (preset) {
    case 'faithful':
      return {
        label: vscode.l10n.t('Faithful W4A4KV4'),
        detail: vscode.l10n.t(
          'As the paper: R1, R2 learned with 16-bit weights in 100 steps of 8 × 2048 tokens, R3, R4 online Hadamard; weights rounded by GPTQ. Hours on a CPU.',
        ),
      };
    case 'no-had':
      return {
        label: vscode.l10n.t('No Hadamard W4A8'),
        detail: vscode.l10n.t(
          'The paper\'s "no had": R1, R2 learned and merged, nothing online, so that it runs anywhere; weights rounded by GPTQ.',
        ),
      };
    case 'quick':
      return {
        label: vscode.l10n.t('Quick look W4A4KV4'),
        detail: vscode.l10n.t(
          'R1, R2 learned from captured activations in seconds, weights rounded by GPTQ, 8 windows measured: minutes for a small model, to see that everything works.',
        ),
      };
  }
}

async function askPath(
  step: number,
  placeholder: string,
  choices: () => Promise<Choice[]>,
  key: 'model' | 'train' | 'test',
  answers: Partial<Answers>,
): Promise<boolean | typeof BACK> {
  const isModel = key === 'model';
  const browse: Choice = {
    label: isModel ? vscode.l10n.t('$(folder-opened) Browse …') : vscode.l10n.t('$(file) Browse …'),
    alwaysShow: true,
    value: 'browse',
  };
  const later: Choice = {
    label: vscode.l10n.t('$(edit) Fill in later'),
    alwaysShow: true,
    value: { path: null },
  };
  const items = [...(await choices()), browse, ...(isModel ? [] : [later])];
  const picked = await askStep({ title: TITLE(), placeholder, items, step, of: PAGES });
  if (picked === undefined) return false;
  if (picked === BACK) return BACK;
  const path = picked.value === 'browse' ? await browseFor(isModel, placeholder) : picked.value.path;
  if (path === undefined || (isModel && path === null)) return false;
  Object.assign(answers, { [key]: path });
  return true;
}

async function browseFor(isModel: boolean, title: string): Promise<string | undefined> {
  const picked = await vscode.window.showOpenDialog({
    title,
    canSelectFolders: isModel,
    canSelectFiles: !isModel,
    openLabel: vscode.l10n.t('Choose'),
  });
  return picked?.[0]?.fsPath;
}

/** Folders with a config.json and weights. */
async function modelChoices(): Promise<Choice[]> {
  const weights = await findDiskFiles('**/*.safetensors', { exclude: NOT_HERE, most: MOST_FILES });
  const folders = [...new Set(weights.map(({ fsPath }) => dirname(fsPath)))].sort();
  return folders
    .filter((folder) => existsSync(join(folder, 'config.json')))
    .map((path) => ({
      label: basename(path),
      description: vscode.workspace.asRelativePath(path),
      iconPath: new vscode.ThemeIcon('symbol-structure'),
      value: { path },
    }));
}

async function textChoices(): Promise<Choice[]> {
  const files = await findDiskFiles('**/*.{txt,raw,md}', { exclude: NOT_HERE, most: MOST_FILES });
  return files
    .map(({ fsPath }) => fsPath)
    .sort()
    .map((path) => ({
      label: basename(path),
      description: vscode.workspace.asRelativePath(path),
      iconPath: new vscode.ThemeIcon('file-text'),
      value: { path },
    }));
}

/** `quick.spinquant.json`, or `quick-2.spinquant.json` beside one. */
function freeName(root: string, preset: PresetName): string {
  for (let n = 1; ; n++) {
    const path = join(root, `${n === 1 ? preset : `${preset}-${n}`}.spinquant.json`);
    if (!existsSync(path)) return path;
  }
}

/** Longer sequences than the model was made for would only be warned of. */
async function positionsOf(model: string): Promise<number> {
  try {
    const bytes = await vscode.workspace.fs.readFile(vscode.Uri.file(join(model, 'config.json')));
    const config = JSON.parse(new TextDecoder().decode(bytes)) as { max_position_embeddings?: unknown };
    const positions = config.max_position_embeddings;
    if (typeof positions === 'number' && positions >= 2) return positions;
  } catch {
    // The check of the new file reports what is wrong with the model.
  }
  return Number.POSITIVE_INFINITY;
}
