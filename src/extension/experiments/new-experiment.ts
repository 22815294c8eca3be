import { existsSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import * as vscode from 'vscode';
import { findDiskFiles } from '../disk-files.ts';
import { kindWords, tableWords } from './preset-words.ts';
import { experimentText, PRESETS, type PresetName } from './presets.ts';
import { askStep, BACK, type Step } from './steps.ts';
import { TABLES, type TableName, tableText } from './table-presets.ts';
import { orderedTexts, type TextUse } from './text-order.ts';

const NOT_HERE = '{**/node_modules/**,**/.spinquant/**,**/.git/**}';
const MOST_FILES = 300;

interface Choice extends vscode.QuickPickItem {
  /** A path, `null` for none, or `browse`. */
  readonly value: { readonly path: string | null } | 'browse';
}

interface Answers {
  /** What to start from; a table has a page of its own. */
  kind: PresetName | 'table';
  table: TableName;
  /** Its folder. */
  model: string;
  /** Stands in the file instead of the folder. */
  hubName: string | null;
  train: string | null;
  test: string | null;
}

/** A model that need not be asked for. */
export interface TakenModel {
  /** Its folder. */
  readonly path: string;
  /** As an experiment names it, where it is on the Hub. */
  readonly hubName: string | null;
}

/** The wizard: preset, model, text to learn on, text to measure on; then the file is there and open. */
export function newExperiment(model: TakenModel | null = null): Promise<string | null> {
  return askAndWrite(model === null ? {} : { model: model.path, hubName: model.hubName });
}

/** The same for a table of methods and bits. */
export function newTable(): Promise<string | null> {
  return askAndWrite({ kind: 'table' });
}

async function askAndWrite(given: Partial<Answers>): Promise<string | null> {
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
  const answers = await ask(given);
  if (answers === null) return null;
  const { kind, table, model, hubName, train, test } = answers;
  const file = freeName(root, kind);
  const portable = (path: string) => relative(root, path).split(sep).join('/') || '.';
  const sources = {
    model: hubName ?? portable(model),
    train: train === null ? null : portable(train),
    test: test === null ? null : portable(test),
    maxPositions: await positionsOf(model),
  };
  const text = kind === 'table' ? tableText(table, sources) : experimentText({ ...sources, preset: kind });
  const uri = vscode.Uri.file(file);
  await vscode.workspace.fs.writeFile(uri, new TextEncoder().encode(text));
  await vscode.window.showTextDocument(uri);
  return file;
}

/** Where a page stands in the wizard. */
type Place = Pick<Step<never>, 'title' | 'step' | 'of'>;
/** @returns false when the person left it. */
type Page = (answers: Partial<Answers>, place: Place) => Promise<boolean | typeof BACK>;

/** @param given what needs no page. */
async function ask(given: Partial<Answers>): Promise<Answers | null> {
  const answers = { ...given };
  const { t } = vscode.l10n;
  const first: readonly Page[] = given.kind === undefined ? [askKind] : [];
  const askModel: Page = (own, place) =>
    askPath(place, t('The model to quantize'), modelChoices, 'model', own);
  const last: readonly Page[] = [
    ...(given.model === undefined ? [askModel] : []),
    (own, place) =>
      askPath(place, t('The text to learn rotations and round weights on'), learnedTexts, 'train', own),
    (own, place) => askPath(place, t('The text to measure perplexity on'), measuredTexts, 'test', own),
  ];
  for (let index = 0; ; ) {
    const isTable = answers.kind === 'table';
    const pages = [...first, ...(isTable ? [askTable] : []), ...last];
    const page = pages[index];
    if (page === undefined) return answers as Answers;
    const title = isTable ? t('New table of methods and bits') : t('New experiment');
    const answer = await page(answers, { title, step: index + 1, of: pages.length });
    if (answer === false) return null;
    index += answer === BACK ? -1 : 1;
  }
}

async function askKind(answers: Partial<Answers>, place: Place): Promise<boolean | typeof BACK> {
  const kinds = [...PRESETS, 'table'] as const;
  const picked = await askStep({
    ...place,
    placeholder: vscode.l10n.t('What to start from'),
    items: kinds.map((kind) => ({ ...kindWords(kind), preset: kind })),
  });
  if (picked === undefined || picked === BACK) return false;
  answers.kind = picked.preset;
  return true;
}

async function askTable(answers: Partial<Answers>, place: Place): Promise<boolean | typeof BACK> {
  const picked = await askStep({
    ...place,
    placeholder: vscode.l10n.t('Which table'),
    items: TABLES.map((table) => ({ ...tableWords(table), table })),
  });
  if (picked === undefined) return false;
  if (picked === BACK) return BACK;
  answers.table = picked.table;
  return true;
}

async function askPath(
  place: Place,
  placeholder: string,
  choices: (answers: Partial<Answers>) => Promise<Choice[]>,
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
  const items = [...(await choices(answers)), browse, ...(isModel ? [] : [later])];
  const picked = await askStep({ ...place, placeholder, items });
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

const learnedTexts = (): Promise<Choice[]> => textChoices('train', null);

/** What is learned on is not offered: its perplexity would flatter. */
const measuredTexts = ({ train }: Partial<Answers>): Promise<Choice[]> => textChoices('test', train ?? null);

async function textChoices(use: TextUse, taken: string | null): Promise<Choice[]> {
  const files = await findDiskFiles('**/*.{txt,raw,md}', { exclude: NOT_HERE, most: MOST_FILES });
  const paths = orderedTexts(
    files.map(({ fsPath }) => fsPath),
    use,
    taken,
  );
  return paths.map((path) => ({
    label: basename(path),
    description: vscode.workspace.asRelativePath(path),
    iconPath: new vscode.ThemeIcon('file-text'),
    value: { path },
  }));
}

/** `quick.spinquant.json`, or `quick-2.spinquant.json` beside one. */
function freeName(root: string, kind: Answers['kind']): string {
  for (let n = 1; ; n++) {
    const path = join(root, `${n === 1 ? kind : `${kind}-${n}`}.spinquant.json`);
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
