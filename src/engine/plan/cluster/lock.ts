/** One process at a time writes what was submitted: who hands over jobs, and who cancels them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../../../protocol/errors.ts';
import { type FolderLock, takeLockIfFree } from '../../../runs/index.ts';
import type { ClusterFolder } from './folder.ts';

/** A question to the controller ends within a minute, and a holder that is gone is known after another. */
const MOST_WAIT_MS = 180_000;
/** The folder is so often asked for. */
const LOOK_MS = 200;

/** @throws UserError `cluster/busy` where another process keeps the folder. */
export async function waitForFolder(folder: ClusterFolder, mostMs = MOST_WAIT_MS): Promise<FolderLock> {
  const end = Date.now() + mostMs;
  for (;;) {
    const lock = takeLockIfFree(folder.path);
    if (lock !== null) return lock;
    if (Date.now() > end)
      throw new UserError(
        'cluster/busy',
        `Another process has been submitting jobs for ${Math.round(mostMs / 1000)} s: ${folder.path} is in use.`,
        'Stop that process (the newest file in the folder "lock" there names it), then try again.',
      );
    await sleep(LOOK_MS);
  }
}
