import * as vscode from 'vscode';
import type { RunName } from '../../protocol/panels/common.ts';
import { tableCell } from '../../protocol/table-cell.ts';
import type { Run } from '../../runs/index.ts';
import type { RunStore } from '../services.ts';
import { experimentName, formatAge, language } from '../words.ts';
import { runName } from './names.ts';

/** The run folder that a command is given: its path, or an element of the runs view. */
export function runDirOf(argument: unknown): string | null {
  if (typeof argument === 'string') return argument;
  if (argument instanceof vscode.Uri) return argument.fsPath;
  if (typeof argument !== 'object' || argument === null || !('runDir' in argument)) return null;
  return typeof argument.runDir === 'string' ? argument.runDir : null;
}

/** As everything calls it. */
export function shownName(run: Run, runs: RunStore): RunName {
  return runName(run, runs.annotation(run.dir), language());
}

export async function pickRun(runs: RunStore, title: string): Promise<string | null> {
  return pickRunAmong(runs.list(), runs, title);
}

export async function pickRunAmong(
  some: readonly Run[],
  runs: RunStore,
  title: string,
): Promise<string | null> {
  const items = runItems(some, runs);
  const picked = await vscode.window.showQuickPick(items, { title, matchOnDescription: true });
  return picked?.dir ?? null;
}

export async function pickRuns(runs: RunStore, title: string): Promise<string[]> {
  const picked = await vscode.window.showQuickPick(runItems(runs.list(), runs), {
    title,
    matchOnDescription: true,
    canPickMany: true,
  });
  return picked?.map(({ dir }) => dir) ?? [];
}

function runItems(some: readonly Run[], runs: RunStore): (vscode.QuickPickItem & { readonly dir: string })[] {
  return some.map((run) => ({
    label: shownName(run, runs).name,
    description: `${placeOf(run)} · ${formatAge(new Date(run.record.startedAt))}`,
    detail: run.record.id,
    dir: run.dir,
  }));
}

/** What stands behind the name of a run: of a cell, whose name says its bits, the experiment; else the bits. */
export function placeOf({ record, experimentFile }: Run): string {
  return tableCell(record) === null ? record.bits : experimentName(experimentFile);
}
