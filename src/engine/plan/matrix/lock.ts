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
      'Wait for it, or stop it there. `spinquant table` shows what there is so far. If its process or its machine is gone, `spinquant optimize FILE --take-over` takes the folder away; a process that still works in it then stops.',
    );
  }
}

/** To be called before the work of a cell. @throws UserError `runs/…` where the folder is another process's by now. */
export function checkMatrix(lock: FolderLock, folder: string): void {
  try {
    lock.check();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const message = error.message.replace(/^The run \S+/, `The table in ${folder}`);
    const hint =
      'This process stops; what it has done is kept. `spinquant optimize FILE` goes on with what is missing.';
    throw new UserError(error.code, message, hint);
  }
}
