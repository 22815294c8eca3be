import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, extname, join, relative, resolve } from 'node:path';
import * as vscode from 'vscode';
import { fileKind, kindFault } from '../../disk/file-kind.ts';
import type { Parts } from '../parts.ts';
import { showProblem } from '../problem.ts';
import { offerExperiment } from './offer.ts';
import { followBytes } from './progress.ts';

/** Makes a model folder of a file that the person picks, by the engine, and offers an experiment with it. */
export async function importModel(parts: Parts): Promise<void> {
  const { t } = vscode.l10n;
  try {
    const source = await pick(t('A GGUF file, or a checkpoint of llama2.c'), {
      [t('GGUF, llama2.c')]: ['gguf', 'bin'],
      [t('All files')]: ['*'],
    });
    if (source === null) return;
    // Before more is asked: no folder needs to be chosen for what is no model.
    const fault = kindFault(source, 'weights');
    if (fault) throw fault;
    const isGguf = source.endsWith('.gguf') || fileKind(source).name === 'gguf';
    const tokenizer = isGguf ? null : await tokenizerOf(source);
    if (tokenizer === undefined) return;
    const out = await askFolder(source);
    if (out === null) return;
    const title = t('Importing {0}', basename(source));
    const made = await followBytes(parts, title, 'importModel', { source, tokenizer, out });
    for (const warning of made.warnings) parts.log.warn(`${source}: ${warning}`);
    const count = made.parameters.toLocaleString(vscode.env.language);
    const where = vscode.workspace.asRelativePath(made.dir);
    const said = t('{0} is a model folder now, with {1} parameters.', where, count);
    await offerExperiment([said, ...made.warnings].join(' '), { path: made.dir, hubName: null });
  } catch (error) {
    showProblem(parts.log, error);
  }
}

async function pick(title: string, filters: Record<string, string[]>): Promise<string | null> {
  const openLabel = vscode.l10n.t('Choose');
  const picked = await vscode.window.showOpenDialog({ title, openLabel, filters });
  return picked?.[0]?.fsPath ?? null;
}

/** Usual names; a checkpoint of llama2.c comes with one file of them. */
const TOKENIZER = /^(tokenizer|tok\d+)\.bin$/;

/** The only tokenizer beside a checkpoint, or the one that the person picks. @returns undefined where they leave. */
async function tokenizerOf(checkpoint: string): Promise<string | undefined> {
  const folder = dirname(checkpoint);
  const beside = readdirSync(folder).filter((name) => TOKENIZER.test(name) && name !== basename(checkpoint));
  if (beside.length === 1) return join(folder, beside[0]!);
  const title = vscode.l10n.t('The tokenizer of {0} (tokenizer.bin, tok512.bin …)', basename(checkpoint));
  return (await pick(title, { [vscode.l10n.t('Tokenizer of llama2.c')]: ['bin'] })) ?? undefined;
}

/** In the workspace, where New Experiment finds it; without one beside the file, as in a terminal. */
async function askFolder(source: string): Promise<string | null> {
  const { t } = vscode.l10n;
  const root = vscode.workspace.workspaceFolders?.find(({ uri }) => uri.scheme === 'file')?.uri.fsPath;
  const base = root ?? dirname(source);
  const name = basename(source, extname(source));
  const free = freeName(join(base, root === undefined ? name : join('models', name)));
  const answer = await vscode.window.showInputBox({
    title: t('The model folder to make'),
    prompt: t(
      'In {0}, or an absolute path. Weights that are quantized in the file take 4 bytes each in it.',
      base,
    ),
    value: relative(base, free),
    ignoreFocusOut: true,
    validateInput: (value) =>
      existsSync(resolve(base, value.trim())) ? t('It is there already: nothing is overwritten.') : null,
  });
  return answer === undefined ? null : resolve(base, answer.trim());
}

/** `NAME`, or `NAME-2` beside one: nothing is overwritten. */
function freeName(path: string): string {
  for (let n = 1; ; n++) {
    const free = n === 1 ? path : `${path}-${n}`;
    if (!existsSync(free)) return free;
  }
}
