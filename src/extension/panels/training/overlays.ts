/** "Add run…": the runs whose curves are laid over those of the run shown. */
import * as vscode from 'vscode';
import type { Run } from '../../../runs/index.ts';
import { placeOf, shownName } from '../../runs/choose.ts';
import type { RunStore } from '../../services.ts';
import { formatAge } from '../../words.ts';
import { rememberedBy } from '../remembered.ts';

/** Lines of more runs than this cannot be told apart. */
export const MAX_OVERLAYS = 5;

interface Item extends vscode.QuickPickItem {
  readonly dir?: string;
}

/**
 * Lets the person search among runs: those selected in Results come first, then the starred, then all others.
 * @param present those laid over now, which are ticked.
 * @returns all that are to be laid over; null where the person went away.
 */
export async function chooseOverlays(
  learned: readonly Run[],
  present: readonly string[],
  runs: RunStore,
): Promise<readonly string[] | null> {
  const picked = await vscode.window.showQuickPick(items(learned, present, runs), {
    title: vscode.l10n.t('Add runs to the curves'),
    placeHolder: vscode.l10n.t('Search by name, setting or label; at most {0}', MAX_OVERLAYS),
    matchOnDescription: true,
    matchOnDetail: true,
    canPickMany: true,
  });
  return picked?.flatMap(({ dir }) => dir ?? []) ?? null;
}

function items(learned: readonly Run[], present: readonly string[], runs: RunStore): Item[] {
  const { t } = vscode.l10n;
  const selected = new Set(selectedInResults());
  const isStarred = ({ dir }: Run) => runs.annotation(dir).starred;
  const groups: readonly (readonly [title: string, own: readonly Run[]])[] = [
    [t('Selected in Results'), learned.filter(({ dir }) => selected.has(dir))],
    [t('Starred'), learned.filter((run) => !selected.has(run.dir) && isStarred(run))],
    [t('All runs'), learned.filter((run) => !selected.has(run.dir) && !isStarred(run))],
  ];
  return groups
    .filter(([, own]) => own.length > 0)
    .flatMap(([label, own]) => [
      { label, kind: vscode.QuickPickItemKind.Separator },
      ...own.map((run) => itemOf(run, present, runs)),
    ]);
}

function itemOf(run: Run, present: readonly string[], runs: RunStore): Item {
  const { label } = runs.annotation(run.dir);
  return {
    label: shownName(run, runs).name,
    description: [placeOf(run), formatAge(new Date(run.record.startedAt))].join(' · '),
    ...(label !== null && { detail: label }),
    picked: present.includes(run.dir),
    dir: run.dir,
  };
}

/** What that panel remembers is its own: anything else than a list of folders is none. */
function selectedInResults(): string[] {
  const memory = rememberedBy('results');
  const { selected } = (memory ?? {}) as { readonly selected?: unknown };
  return Array.isArray(selected) ? selected.filter((dir) => typeof dir === 'string') : [];
}
