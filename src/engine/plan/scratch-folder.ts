import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { diskFault } from '../../disk/faults.ts';
import { UserError } from '../../protocol/errors.ts';
import { type FolderLock, takeLock } from '../../runs/index.ts';

/** Six random letters follow. Inside lie a lock and the files. */
const PREFIX = '.rounded-';
const FILES = 'files';

/** Weights can be as large as the model: they go to the disk that runs are on, not to memory that poses as one. */
export interface ScratchFolder {
  readonly path: string;
  remove(): Promise<void>;
}

/** A new folder inside `parent`, which is made if need be. What killed processes left of theirs is removed. */
export async function makeScratchFolder(parent: string): Promise<ScratchFolder> {
  try {
    await mkdir(parent, { recursive: true });
    await sweep(parent);
    const folder = await mkdtemp(join(parent, PREFIX));
    const { lock } = takeLock(folder);
    const path = join(folder, FILES);
    await mkdir(path);
    return {
      path,
      async remove() {
        lock.release();
        await removeFolder(folder);
      },
    };
  } catch (error) {
    throw diskFault(error, parent, 'written');
  }
}

/**
 * A lock tells a process at work from one that is gone, also in another container or on another machine. A folder without
 * files is left alone: it is just being made.
 */
async function sweep(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const folder = join(parent, name);
    if (!existsSync(join(folder, FILES))) continue;
    const lock = lockIfLeft(folder);
    if (lock === null) continue;
    await removeFolder(folder);
    lock.release();
  }
}

/** @returns null where a process is at work in it, and where it cannot be taken, which is tried again by the next. */
function lockIfLeft(folder: string): FolderLock | null {
  try {
    return takeLock(folder, { brief: true }).lock;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

/** A folder that a scanner holds is swept later: it must not cost the result. */
async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
}
