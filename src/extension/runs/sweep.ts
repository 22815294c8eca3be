import { basename } from 'node:path';
import * as vscode from 'vscode';
import { formatBytes } from '../../protocol/text.ts';
import type { SweepResult } from '../../protocol/worker.ts';
import type { Parts } from '../parts.ts';
import { showProblem } from '../problem.ts';
import { findRunFolders } from './folders.ts';
import { type Unused, unusedIn } from './unused.ts';

/** Deletes what runs shared and none uses any more, after the person has seen what that is. */
export async function deleteUnused({ worker, log }: Parts): Promise<void> {
  try {
    const client = await worker.connect();
    const sweepAll = async (folders: readonly string[], deletes: boolean): Promise<SweepResult[]> => {
      const found: SweepResult[] = [];
      for (const runs of folders) found.push(await client.request('sweep', { runs, deletes }));
      return found;
    };
    const folders = [...(await findRunFolders())];
    const found = await sweepAll(folders, false);
    // A folder with a run that may use anything keeps all.
    const clear = folders.filter((_, index) => found[index]?.unknown.length === 0);
    const unused = unusedOf(found.filter(({ unknown }) => unknown.length === 0));
    const unknown = found.flatMap((one) => one.unknown);
    if (unused.count === 0) {
      void vscode.window.showInformationMessage(nothingText(unknown));
      return;
    }
    if (!(await isConfirmed(unused, unknown))) return;
    const deleted = unusedOf(await sweepAll(clear, true));
    void vscode.window.showInformationMessage(
      vscode.l10n.t('Deleted {0} shared results, {1}.', deleted.count, formatBytes(deleted.bytes)),
    );
  } catch (error) {
    showProblem(log, error);
  }
}

const unusedOf = (found: readonly SweepResult[]): Unused => unusedIn(found, vscode.l10n.t('unfinished'));

async function isConfirmed(unused: Unused, unknown: readonly string[]): Promise<boolean> {
  const action = vscode.l10n.t('Delete');
  const detail = [
    vscode.l10n.t('A table that wants one of them again computes it.'),
    ...unused.lines,
    ...(unknown.length === 0 ? [] : [unknownText(unknown)]),
  ];
  const chosen = await vscode.window.showWarningMessage(
    vscode.l10n.t(
      'Delete {0} shared results that no run uses, {1}?',
      unused.count,
      formatBytes(unused.bytes),
    ),
    { modal: true, detail: detail.join('\n') },
    action,
  );
  return chosen === action;
}

function nothingText(unknown: readonly string[]): string {
  const nothing = vscode.l10n.t('There are no shared results to delete.');
  return unknown.length === 0 ? nothing : `${nothing} ${unknownText(unknown)}`;
}

function unknownText(unknown: readonly string[]): string {
  return vscode.l10n.t(
    'Nobody can tell what these runs use, so all in their folders stays: {0}.',
    unknown
      .slice(0, 10)
      .map((run) => basename(run))
      .join(', '),
  );
}
