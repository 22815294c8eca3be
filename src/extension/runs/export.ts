import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as vscode from 'vscode';
import { messageOf } from '../../protocol/errors.ts';
import type { Parts } from '../parts.ts';

interface Format extends vscode.QuickPickItem {
  readonly format: 'safetensors' | 'rbin';
  readonly suffix: string;
}

/** Writes the learned rotations of a run where the person says, by the command line of the product. */
export async function exportRun({ context, log }: Parts, runDir: string): Promise<void> {
  const format = await vscode.window.showQuickPick<Format>(
    [
      {
        label: 'safetensors',
        description: vscode.l10n.t('R1, R2.0 … as float32 tensors'),
        format: 'safetensors',
        suffix: '.safetensors',
      },
      {
        label: 'R.bin',
        description: vscode.l10n.t('the PyTorch file of the SpinQuant reference implementation'),
        format: 'rbin',
        suffix: '.bin',
      },
    ],
    { title: vscode.l10n.t('Export rotations') },
  );
  if (format === undefined) return;
  const name = format.format === 'rbin' ? 'R' : 'rotations';
  const target = await vscode.window.showSaveDialog({
    title: vscode.l10n.t('Export rotations'),
    defaultUri: vscode.Uri.file(join(runDir, '..', '..', '..', `${name}${format.suffix}`)),
    filters: { [format.label]: [format.suffix.slice(1)] },
  });
  if (target === undefined) return;
  const args = ['export', runDir, '--format', format.format, '--out', target.fsPath, '--json'];
  const cli = join(context.extensionPath, 'dist', 'cli.js');
  try {
    await promisify(execFile)(process.execPath, [cli, ...args], {
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
    });
  } catch (error) {
    log.error(messageOf(error));
    void vscode.window.showErrorMessage(faultOf(error));
    return;
  }
  const reveal = vscode.l10n.t('Reveal');
  const chosen = await vscode.window.showInformationMessage(
    vscode.l10n.t('Rotations written to {0}.', target.fsPath),
    reveal,
  );
  if (chosen === reveal) await vscode.commands.executeCommand('revealFileInOS', target);
}

/** The command line reports what is wrong in one JSON document on stdout. */
function faultOf(error: unknown): string {
  try {
    const { stdout } = error as { stdout: string };
    const document = JSON.parse(stdout) as { error: { message: string; hint: string } };
    return `${document.error.message} ${document.error.hint}`.trim();
  } catch {
    return messageOf(error); // It did not get so far as to say anything.
  }
}
