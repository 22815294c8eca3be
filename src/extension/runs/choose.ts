import * as vscode from 'vscode';
import type { Run } from '../../runs/index.ts';
import type { RunStore } from '../services.ts';
import { formatAge } from '../words.ts';
import { usualName } from './names.ts';

/** The run folder that a command is given: its path, or an element of the runs view. */
export function runDirOf(argument: unknown): string | null {
  if (typeof argument === 'string') return argument;
  if (argument instanceof vscode.Uri) return argument.fsPath;
  if (typeof argument !== 'object' || argument === null || !('runDir' in argument)) return null;
  return typeof argument.runDir === 'string' ? argument.runDir : null;
}

/** The name that the person gave, or that of the experiment with the time. */
export function runName(run: Run, runs: RunStore): string {
  return runs.annotation(run.dir).name ?? usualName(run, vscode.env.language);
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
    label: runName(run, runs),
    description: `${run.record.bits} · ${formatAge(new Date(run.record.startedAt))}`,
    detail: run.record.id,
    dir: run.dir,
  }));
}
