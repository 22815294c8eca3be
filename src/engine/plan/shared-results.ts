/** Results that runs share, beside them in their folder: which of them are used, and what happens to the others. */
import { existsSync } from 'node:fs';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { reading, writing } from '../../disk/faults.ts';
import { UserError } from '../../protocol/errors.ts';
import { isLocked, listRuns, type Run } from '../../runs/index.ts';
import { isNameOfKey } from './key-names.ts';
import { lockMatrix } from './matrix/lock.ts';
import { stepsFolder } from './matrix/steps-folder.ts';
import { readRecord } from './step-store.ts';
import { TRAINED } from './steps/training.ts';

/** A folder of what was made under one key. */
export interface SharedResult {
  /** Absolute path. */
  readonly folder: string;
  /** Name of the step that made it, such as `gptq`; null where it did not end, or where its record is gone. */
  readonly step: string | null;
  readonly bytes: number;
  /** Runs that use it. */
  readonly usedBy: number;
  /** True where something was written into it lately: a process may be at work on it. */
  readonly isFresh: boolean;
}

export interface SharedResults {
  readonly results: readonly SharedResult[];
  /** Names of runs that may use anything: they cannot be read, or an earlier version wrote them. */
  readonly unknown: readonly string[];
}

/** Evaluations that keep nothing train without a run to tell of it. Their states are written every minute or so. */
const FRESH_MS = 3_600_000;
/** What was cut off while it was removed begins so, and is removed the next time. */
const REMOVED = '.removed-';

/** @param runs the folder of runs; one that is not there shares nothing. */
export async function listShared(runs: string): Promise<SharedResults> {
  const list = await listRuns(runs);
  const uses = new Map<string, number>();
  for (const { record } of list.runs)
    for (const name of record.uses ?? []) uses.set(name, (uses.get(name) ?? 0) + 1);
  const unknown = [...list.damaged.map(({ dir }) => dir), ...(await unknownUsers(list.runs))];
  const found: SharedResult[] = [];
  for (const parent of [stepsFolder({ runs }), join(runs, TRAINED)])
    for (const name of await namesIn(parent)) {
      const record = await readRecord(join(stepsFolder({ runs }), name));
      const own = { step: record?.name ?? null, usedBy: uses.get(name) ?? 0 };
      found.push({ ...own, ...(await lookInto(join(parent, name))) });
    }
  return { results: found, unknown };
}

/** True where nothing needs it, as far as runs tell. */
export function isUnused({ usedBy, isFresh }: SharedResult): boolean {
  return usedBy === 0 && !isFresh;
}

/**
 * Removes what no run uses. Nothing else may fill a table meanwhile.
 * @returns what was there before. @throws UserError `matrix/busy`, `runs/unknown-uses`.
 */
export async function sweepShared(runs: string): Promise<SharedResults> {
  const folder = stepsFolder({ runs });
  const lock = existsSync(folder) ? lockMatrix(folder, false) : null;
  try {
    const shared = await listShared(runs);
    const [first] = shared.unknown;
    if (first !== undefined)
      throw new UserError(
        'runs/unknown-uses',
        `Nothing was removed: nobody can tell what ${shared.unknown.length === 1 ? `the run ${first} uses` : `${shared.unknown.length} runs use, the first of them ${first}`}.`,
        'Delete the runs that you no longer need; `spinquant sweep` names them all.',
      );
    for (const result of shared.results) {
      lock?.check();
      if (isUnused(result)) await remove(result.folder);
    }
    return shared;
  } finally {
    lock?.release();
  }
}

/** Runs of versions that did not write down what they use, where they may use something. */
async function unknownUsers(runs: readonly Run[]): Promise<string[]> {
  const unknown: string[] = [];
  for (const run of runs) if (run.record.uses === null && (await mayShare(run))) unknown.push(run.dir);
  return unknown;
}

/** Cells share steps; other runs share trained weights alone. */
async function mayShare(run: Run): Promise<boolean> {
  if (run.record.cell !== null) return true;
  try {
    return (await run.readExperiment()).training.method !== 'none';
  } catch (error) {
    if (error instanceof UserError) return true;
    throw error;
  }
}

async function namesIn(parent: string): Promise<string[]> {
  if (!existsSync(parent)) return [];
  const names = await reading(parent, () => readdir(parent));
  return names.filter((name) => isNameOfKey(name) || name.startsWith(REMOVED));
}

async function lookInto(folder: string): Promise<Omit<SharedResult, 'step' | 'usedBy'>> {
  const files = await reading(folder, () => readdir(folder, { recursive: true }));
  const found = await Promise.all([folder, ...files.map((file) => join(folder, file))].map(sizeOf));
  const newest = Math.max(...found.map(({ mtimeMs }) => mtimeMs));
  return {
    folder,
    bytes: found.reduce((sum, { bytes }) => sum + bytes, 0),
    // Who works on a step has its lock; the trained weights have none.
    isFresh: isLocked(folder) || (basename(dirname(folder)) === TRAINED && Date.now() - newest < FRESH_MS),
  };
}

/** A file may go while it is looked at. */
async function sizeOf(path: string): Promise<{ readonly bytes: number; readonly mtimeMs: number }> {
  const found = await stat(path).catch(() => null);
  return { bytes: found?.isFile() ? found.size : 0, mtimeMs: found?.mtimeMs ?? 0 };
}

/** A folder that is renamed is no longer found under its key: what is cut off here leaves nothing torn. */
async function remove(folder: string): Promise<void> {
  const name = basename(folder);
  await writing(folder, async () => {
    const gone = name.startsWith(REMOVED) ? folder : join(dirname(folder), REMOVED + name);
    if (gone !== folder) await rename(folder, gone);
    await rm(gone, { recursive: true, force: true });
  });
}
