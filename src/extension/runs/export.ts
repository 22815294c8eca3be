import { basename, dirname, join } from 'node:path';
import * as vscode from 'vscode';
import { EXPORT_FORMATS, type ExportFormatName, type TableBits } from '../../protocol/export-formats.ts';
import { formatBytes } from '../../protocol/text.ts';
import type { ExportModelResult } from '../../protocol/worker.ts';
import type { Parts } from '../parts.ts';
import { showProblem } from '../problem.ts';
import { formatChoices, planLines, tableBitsFirst } from './export-choices.ts';
import { type ExportedModel, followed, planSettings } from './exporting.ts';

/** Writes the learned rotations of a run, or its quantized model, where the person says, by the engine. */
export async function exportRun(parts: Parts, runDir: string): Promise<void> {
  const choice = await vscode.window.showQuickPick(formatChoices(), { title: vscode.l10n.t('Export a run') });
  if (choice === undefined) return;
  const { label, exported } = choice;
  try {
    if (exported.kind === 'rotations') await exportRotations(parts, runDir, exported.format);
    else await exportModel(parts, runDir, exported, label);
  } catch (error) {
    showProblem(parts.log, error);
  }
}

async function exportRotations({ worker }: Parts, runDir: string, format: ExportFormatName): Promise<void> {
  const { title, extension, fileName } = EXPORT_FORMATS[format];
  const target = await vscode.window.showSaveDialog({
    title: vscode.l10n.t('Export rotations'),
    defaultUri: vscode.Uri.file(join(placeOf(runDir), `${fileName}.${extension}`)),
    filters: { [title]: [extension] },
  });
  if (target === undefined) return;
  const client = await worker.connect();
  await client.request('export', { run: runDir, format, out: target.fsPath });
  await offerToReveal(vscode.l10n.t('Rotations written to {0}.', target.fsPath), target);
}

async function exportModel(
  parts: Parts,
  runDir: string,
  exported: ExportedModel,
  title: string,
): Promise<void> {
  if (!(await agreed(parts, runDir, exported, title))) return;
  const bits = exported.kind === 'model' ? await pickTableBits(title) : null;
  if (exported.kind === 'model' && bits === null) return;
  const folder = await pickFolder(runDir, planSettings(exported).format, title);
  if (folder === undefined) return;
  const to = { run: runDir, out: folder.fsPath };
  if (exported.kind === 'checkpoint') {
    const { settings } = exported;
    await tellWritten(parts, folder, await followed(parts, 'exportCheckpoint', { ...to, settings }, title));
  } else if (bits !== null) {
    const { format, target } = exported;
    const request = { ...to, format, target, embeddings: bits, head: bits };
    await tellWritten(parts, folder, await followed(parts, 'exportModel', request, title));
  }
}

/** Shows what becomes of the run there, and what that costs where it is to be measured. @returns whether to write. */
async function agreed(
  parts: Parts,
  runDir: string,
  exported: ExportedModel,
  title: string,
): Promise<boolean> {
  const write = vscode.l10n.t('Write…');
  const measuring = vscode.l10n.t('Measure');
  for (let measure = false; ; measure = true) {
    const asked = { run: runDir, settings: planSettings(exported), measure };
    const plan = await followed(parts, 'planExport', asked, title);
    const refused = plan.rows.find(({ verdict }) => verdict === 'refused');
    const message = refused
      ? vscode.l10n.t(
          '{0} has no place for the {1} of this run. {2}',
          title,
          refused.part,
          refused.hint ?? '',
        )
      : vscode.l10n.t('{0}: what becomes of this run', title);
    const offered = refused ? [] : measure ? [write] : [write, measuring];
    const options = { modal: true, detail: planLines(plan, measure) };
    const chosen = await vscode.window.showInformationMessage(message, options, ...offered);
    if (chosen !== measuring) return chosen === write;
  }
}

function pickFolder(runDir: string, format: string, title: string): Thenable<vscode.Uri | undefined> {
  return vscode.window.showSaveDialog({
    title: vscode.l10n.t('{0}: a new folder', title),
    saveLabel: vscode.l10n.t('Write'),
    defaultUri: vscode.Uri.file(join(placeOf(runDir), `${basename(runDir)}-${format}`)),
  });
}

async function tellWritten(
  parts: Parts,
  folder: vscode.Uri,
  { bytes, notes }: ExportModelResult,
): Promise<void> {
  for (const note of notes) parts.log.info(`${folder.fsPath}: ${note}`);
  const size = formatBytes(bytes);
  const said = vscode.l10n.t('Model written to {0} ({1}).', folder.fsPath, size);
  await offerToReveal([said, ...notes].join(' '), folder);
}

async function pickTableBits(title: string): Promise<TableBits | null> {
  const items = tableBitsFirst(16).map((bits) => ({ label: vscode.l10n.t('{0} bits', bits), bits }));
  const placeHolder = vscode.l10n.t('Bits of embeddings and output layer');
  return (await vscode.window.showQuickPick(items, { title, placeHolder }))?.bits ?? null;
}

/** The folder that has the experiment, mostly: three above a run. */
const placeOf = (runDir: string): string => dirname(dirname(dirname(runDir)));

async function offerToReveal(message: string, written: vscode.Uri): Promise<void> {
  const reveal = vscode.l10n.t('Reveal');
  const chosen = await vscode.window.showInformationMessage(message, reveal);
  if (chosen === reveal) await vscode.commands.executeCommand('revealFileInOS', written);
}
