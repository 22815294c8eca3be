import { randomUUID } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import * as vscode from 'vscode';
import { EXPORT_FORMATS, type ExportFormatName, type TableBits } from '../../protocol/export-formats.ts';
import type { CheckpointSettings } from '../../protocol/export-plan.ts';
import { formatBytes } from '../../protocol/text.ts';
import type { ExportModelResult, WorkerRequests } from '../../protocol/worker.ts';
import type { Parts } from '../parts.ts';
import { showProblem } from '../problem.ts';
import { type Exported, formatChoices, planLines, tableBitsFirst } from './export-choices.ts';

/** Writes the learned rotations of a run, or its quantized model, where the person says, by the engine. */
export async function exportRun(parts: Parts, runDir: string): Promise<void> {
  const choice = await vscode.window.showQuickPick(formatChoices(), { title: vscode.l10n.t('Export a run') });
  if (choice === undefined) return;
  const { label, exported } = choice;
  try {
    if (exported.kind === 'rotations') await exportRotations(parts, runDir, exported.format);
    else if (exported.kind === 'model') await exportModel(parts, runDir, exported, label);
    else await exportCheckpoint(parts, runDir, exported.settings, label);
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
  { format, target }: Extract<Exported, { kind: 'model' }>,
  title: string,
): Promise<void> {
  const bits = await pickTableBits(title);
  if (bits === null) return;
  const folder = await vscode.window.showSaveDialog({
    title: vscode.l10n.t('{0}: a new folder', title),
    saveLabel: vscode.l10n.t('Write'),
    defaultUri: vscode.Uri.file(join(placeOf(runDir), `${basename(runDir)}-${format}`)),
  });
  if (folder === undefined) return;
  const request = { run: runDir, format, target, out: folder.fsPath, embeddings: bits, head: bits } as const;
  await tellWritten(parts, folder, await followed(parts, 'exportModel', request, title));
}

/** Shows first what becomes of the run there, and writes where the person still wants it. */
async function exportCheckpoint(
  parts: Parts,
  runDir: string,
  settings: CheckpointSettings,
  title: string,
): Promise<void> {
  const asked = { run: runDir, settings };
  const { rows } = await followed(parts, 'planExport', asked, title);
  const refused = rows.find(({ verdict }) => verdict === 'refused');
  const write = vscode.l10n.t('Write…');
  const message = refused
    ? vscode.l10n.t('{0} has no place for the {1} of this run. {2}', title, refused.part, refused.hint ?? '')
    : vscode.l10n.t('{0}: what becomes of this run', title);
  const options = { modal: true, detail: planLines(rows) };
  const chosen = await vscode.window.showInformationMessage(message, options, ...(refused ? [] : [write]));
  if (chosen !== write) return;
  const folder = await vscode.window.showSaveDialog({
    title: vscode.l10n.t('{0}: a new folder', title),
    saveLabel: vscode.l10n.t('Write'),
    defaultUri: vscode.Uri.file(join(placeOf(runDir), `${basename(runDir)}-${settings.format}`)),
  });
  if (folder === undefined) return;
  const request = { ...asked, out: folder.fsPath };
  await tellWritten(parts, folder, await followed(parts, 'exportCheckpoint', request, title));
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

type Exporting = 'exportModel' | 'planExport' | 'exportCheckpoint';

/** Shows that it is at work, until it ends or is stopped. */
async function followed<M extends Exporting>(
  { worker }: Parts,
  method: M,
  request: Omit<WorkerRequests[M]['params'], 'job'>,
  title: string,
): Promise<WorkerRequests[M]['result']> {
  const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
  return vscode.window.withProgress(options, async (_progress, token) => {
    const controller = new AbortController();
    token.onCancellationRequested(() => controller.abort());
    const client = await worker.connect();
    // With its job, the request is whole again.
    const params = { ...request, job: randomUUID() } as WorkerRequests[M]['params'];
    return client.follow(method, params, () => {}, controller.signal);
  });
}

/** The folder that has the experiment, mostly: three above a run. */
const placeOf = (runDir: string): string => dirname(dirname(dirname(runDir)));

async function offerToReveal(message: string, written: vscode.Uri): Promise<void> {
  const reveal = vscode.l10n.t('Reveal');
  const chosen = await vscode.window.showInformationMessage(message, reveal);
  if (chosen === reveal) await vscode.commands.executeCommand('revealFileInOS', written);
}
