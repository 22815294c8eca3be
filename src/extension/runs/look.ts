/** Runs that come, go or end without anybody telling. Knows nothing of the editor. */
import { existsSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Run } from '../../runs/index.ts';
import { loadRuns } from '../lazy.ts';

/**
 * Looks at folders as they are. What watches files tells nothing of folders on another machine's disk, of one that came
 * with all that is in it, or of a process that died.
 */
export class RunsLook {
  /** What was looked at already, by the time of its record: a damaged one is not tried at every look. */
  readonly #seen = new Map<string, number>();

  /**
   * @param folders that hold runs, or may.
   * @param known the runs as they were last read.
   * @returns run folders to read again.
   */
  async changes(folders: Iterable<string>, known: readonly Run[]): Promise<string[]> {
    const { RUN_FILES, openRun } = await loadRuns();
    const changed: string[] = [];
    const dirs = new Set(known.map(({ dir }) => dir));
    for (const folder of folders)
      for (const name of await namesIn(folder)) {
        const dir = join(folder, name);
        if (dirs.has(dir)) continue;
        const time = statSync(join(dir, RUN_FILES.run), { throwIfNoEntry: false })?.mtimeMs;
        if (time === undefined || this.#seen.get(dir) === time) continue;
        this.#seen.set(dir, time);
        changed.push(dir);
      }
    for (const { dir, record } of known) {
      if (!existsSync(join(dir, RUN_FILES.run))) changed.push(dir);
      else if (record.status === 'running' && (await statusOf(dir, openRun)) !== 'running') changed.push(dir);
    }
    for (const dir of changed) if (dirs.has(dir)) this.#seen.delete(dir);
    return changed;
  }
}

/** Null for what cannot be read now: it is written, or goes. */
async function statusOf(dir: string, openRun: (dir: string) => Promise<Run>) {
  try {
    return (await openRun(dir)).record.status;
  } catch {
    return null;
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch {
    return []; // It is not there yet, or not any more.
  }
}
