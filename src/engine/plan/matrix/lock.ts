import { UserError } from '../../../protocol/errors.ts';
import { type FolderLock, takeLock } from '../../../runs/index.ts';

/** One process at a time fills tables in a folder of runs. @throws UserError `matrix/busy`. */
export function lockMatrix(folder: string, takeOver: boolean): FolderLock {
  try {
    return takeLock(folder, { force: takeOver }).lock;
  } catch (error) {
    if (!(error instanceof UserError && error.code === 'runs/busy')) throw error;
    throw new UserError(
      'matrix/busy',
      error.message.replace(/^The run \S+ is/, `A matrix in ${folder} is`),
      'Wait for it, or stop it there. `spinquant table` shows what there is so far; --take-over takes the folder away from a process that is gone.',
    );
  }
}
