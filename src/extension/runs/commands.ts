import { basename } from 'node:path';
import * as vscode from 'vscode';
import { COMMANDS } from '../../protocol/ids.ts';
import { PANELS } from '../../protocol/panels/registry.ts';
import { loadRuns } from '../lazy.ts';
import type { Parts } from '../parts.ts';
import { pickRun, pickRuns, runDirOf, shownName } from './choose.ts';
import { duplicateAsExperiment } from './duplicate.ts';
import { exportRun } from './export.ts';
import { deleteUnused } from './sweep.ts';

export function registerRunCommands(parts: Parts): vscode.Disposable {
  const { runs } = parts;
  /** A command on one run: the one it is given, or the one the person picks. */
  const onRun = (id: string, title: string, act: (dir: string) => Promise<void>) =>
    vscode.commands.registerCommand(id, async (argument: unknown) => {
      const dir = runDirOf(argument) ?? (await pickRun(runs, title));
      if (dir !== null) await act(dir);
    });
  return vscode.Disposable.from(
    onRun(COMMANDS.renameRun, vscode.l10n.t('Rename a run'), (dir) => rename(parts, dir)),
    onRun(COMMANDS.labelRun, vscode.l10n.t('Label a run'), (dir) => label(parts, dir)),
    onRun(COMMANDS.starRun, vscode.l10n.t('Star a run'), (dir) => runs.annotate(dir, { starred: true })),
    onRun(COMMANDS.unstarRun, vscode.l10n.t('Remove the star of a run'), (dir) =>
      runs.annotate(dir, { starred: false }),
    ),
    onRun(COMMANDS.export, vscode.l10n.t('Export a run'), (dir) => exportRun(parts, dir)),
    onRun(COMMANDS.revealRun, vscode.l10n.t('Reveal the folder of a run'), reveal),
    onRun(COMMANDS.copyRunPath, vscode.l10n.t('Copy the path of a run'), async (dir) =>
      vscode.env.clipboard.writeText(dir),
    ),
    onRun(COMMANDS.duplicateRun, vscode.l10n.t('Duplicate a run as an experiment'), async (dir) => {
      const run = runs.get(dir);
      if (run) await duplicateAsExperiment(run);
    }),
    onRun(COMMANDS.openRunExperiment, vscode.l10n.t('Open the experiment of a run'), async (dir) => {
      const run = runs.get(dir);
      if (run) await (await import('../panels/groups.ts')).showText(run.experimentFile);
    }),
    vscode.commands.registerCommand(COMMANDS.deleteRun, (item: unknown, items: unknown) =>
      deleteRuns(parts, item, items),
    ),
    vscode.commands.registerCommand(COMMANDS.compare, (item: unknown, items: unknown) =>
      compare(parts, item, items),
    ),
    vscode.commands.registerCommand(COMMANDS.deleteUnused, () => deleteUnused(parts)),
    vscode.commands.registerCommand(COMMANDS.refreshRuns, async () => {
      await Promise.all([runs.refresh(), parts.experiments.refresh()]);
    }),
  );
}

async function rename({ runs }: Parts, dir: string): Promise<void> {
  const run = runs.get(dir);
  const value = await vscode.window.showInputBox({
    title: vscode.l10n.t('Rename a run'),
    prompt: vscode.l10n.t('Shown in views and tables; the folder keeps its name. Empty for the usual name.'),
    value: runs.annotation(dir).name ?? (run ? shownName(run, runs).name : basename(dir)),
  });
  if (value !== undefined) await runs.annotate(dir, { name: value.trim() || null });
}

async function label({ runs }: Parts, dir: string): Promise<void> {
  const value = await vscode.window.showInputBox({
    title: vscode.l10n.t('Label a run'),
    prompt: vscode.l10n.t('A note to find it by. Empty for none.'),
    value: runs.annotation(dir).label ?? '',
  });
  if (value !== undefined) await runs.annotate(dir, { label: value.trim() || null });
}

/** In the explorer when it is inside the workspace, else in the system's file manager. */
async function reveal(dir: string): Promise<void> {
  const uri = vscode.Uri.file(dir);
  const command = vscode.workspace.getWorkspaceFolder(uri) ? 'revealInExplorer' : 'revealFileInOS';
  await vscode.commands.executeCommand(command, uri);
}

/** Views that allow a selection give all of it as the second argument. */
function selected(item: unknown, items: unknown): string[] {
  const dirs = (Array.isArray(items) && items.length > 0 ? items : [item]).map(runDirOf);
  return dirs.filter((dir) => dir !== null);
}

async function deleteRuns({ runs }: Parts, item: unknown, items: unknown): Promise<void> {
  const given = selected(item, items);
  const dirs = given.length > 0 ? given : await pickRuns(runs, vscode.l10n.t('Delete runs'));
  const { mayBeLeft } = await loadRuns();
  const busy = dirs.find((dir) => {
    const run = runs.get(dir);
    return run?.record.status === 'running' && !mayBeLeft(run);
  });
  if (busy !== undefined) {
    void vscode.window.showWarningMessage(vscode.l10n.t('{0} is running: cancel it first.', basename(busy)));
    return;
  }
  if (dirs.length === 0) return;
  const action = vscode.l10n.t('Delete');
  const names = dirs.map((dir) => basename(dir));
  const confirmed = await vscode.window.showWarningMessage(
    dirs.length === 1
      ? vscode.l10n.t('Delete the run {0}?', names[0]!)
      : vscode.l10n.t('Delete {0} runs?', dirs.length),
    {
      modal: true,
      detail: vscode.l10n.t(
        'Rotations, results and checkpoints are deleted for good. What a run of a table shares with others stays; the command Delete Unused Shared Results removes it.\n{0}',
        names.slice(0, 10).join('\n'),
      ),
    },
    action,
  );
  if (confirmed === action) for (const dir of dirs) await runs.delete(dir);
}

/** Two or more runs side by side in the results panel. One alone is compared with another that the person picks. */
async function compare({ runs }: Parts, item: unknown, items: unknown): Promise<void> {
  const given = selected(item, items).filter((dir) => runs.get(dir) !== undefined);
  const dirs =
    given.length > 1
      ? given
      : [...given, ...(await pickRuns(runs, vscode.l10n.t('Choose the runs to compare')))];
  if (dirs.length > given.length || given.length > 1)
    await vscode.commands.executeCommand(PANELS.results.command, [...new Set(dirs)]);
}
