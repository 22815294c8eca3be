import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { diskFault } from '../disk/faults.ts';
import { codeOf } from '../protocol/errors.ts';
import { RUN_FILES } from './files.ts';
import { newestLock } from './lock-files.ts';
import { livenessOf } from './process.ts';
import { openRun, type Run } from './run.ts';

export interface RunList {
  /** The newest run comes first. */
  readonly runs: readonly Run[];
  /** In these folders `run.json` cannot be read, for the given reason. */
  readonly damaged: readonly { readonly dir: string; readonly error: unknown }[];
}

/** Lists the runs in a runs folder. A folder that does not exist holds none. */
export async function listRuns(folder: string): Promise<RunList> {
  const runs: Run[] = [];
  const damaged: { dir: string; error: unknown }[] = [];
  for (const name of await foldersIn(folder)) {
    const dir = join(folder, name);
    if (!existsSync(join(dir, RUN_FILES.run))) continue;
    try {
      runs.push(await openRun(dir));
    } catch (error) {
      damaged.push({ dir, error });
    }
  }
  const age = (run: Run) => `${run.record.startedAt} ${run.record.id}`;
  runs.sort((a, b) => (age(a) < age(b) ? 1 : -1));
  return { runs, damaged };
}

async function foldersIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw diskFault(error, folder, 'read');
  }
}

/** True where a run stopped before its end and left a checkpoint, or rounded weights, to go on from. */
export function isResumable(run: Run): boolean {
  const { status } = run.record;
  if (status === 'finished' || status === 'running') return false;
  return hasKept(run);
}

/**
 * True where a run counts as running only because nobody can tell: an earlier version, which gives no sign of life, ran
 * it on a machine of another name. A person may know that it is dead.
 */
export function mayBeLeft(run: Run): boolean {
  if (run.record.status !== 'running' || livenessOf(run.record.process) !== 'elsewhere') return false;
  return newestLock(run.dir) === null && hasKept(run);
}

function hasKept(run: Run): boolean {
  return existsSync(run.path('checkpoint')) || existsSync(run.path('rounded'));
}
