import { join } from 'node:path';
import * as vscode from 'vscode';
import { messageOf, UserError } from '../../protocol/errors.ts';
import { EXPORT_FORMAT_NAMES, EXPORT_FORMATS, type ExportFormatName } from '../../protocol/export-formats.ts';
import type { Parts } from '../parts.ts';

interface Choice extends vscode.QuickPickItem {
  readonly format: ExportFormatName;
}

/** Writes the learned rotations of a run where the person says, by the engine. */
export async function exportRun({ worker, log }: Parts, runDir: string): Promise<void> {
  const title = vscode.l10n.t('Export rotations');
  const choices = EXPORT_FORMAT_NAMES.map(
    (format): Choice => ({
      label: EXPORT_FORMATS[format].title,
      description: EXPORT_FORMATS[format].summary,
      format,
    }),
  );
  const choice = await vscode.window.showQuickPick(choices, { title });
  if (choice === undefined) return;
  const { extension, fileName } = EXPORT_FORMATS[choice.format];
  const target = await vscode.window.showSaveDialog({
    title,
    defaultUri: vscode.Uri.file(join(runDir, '..', '..', '..', `${fileName}.${extension}`)),
    filters: { [choice.label]: [extension] },
  });
  if (target === undefined) return;
  try {
    const client = await worker.connect();
    await client.request('export', { run: runDir, format: choice.format, out: target.fsPath });
  } catch (error) {
    log.error(messageOf(error));
    const hint = error instanceof UserError ? ` ${error.hint}` : '';
    void vscode.window.showErrorMessage(`${messageOf(error)}${hint}`);
    return;
  }
  const reveal = vscode.l10n.t('Reveal');
  const chosen = await vscode.window.showInformationMessage(
    vscode.l10n.t('Rotations written to {0}.', target.fsPath),
    reveal,
  );
  if (chosen === reveal) await vscode.commands.executeCommand('revealFileInOS', target);
}
