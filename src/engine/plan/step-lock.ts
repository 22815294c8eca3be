/** One process at a time works on a step that others share, on whichever machine. */
import { mkdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { writing } from '../../disk/faults.ts';
import { throwIfCancelled } from '../../protocol/errors.ts';
import { type FolderLock, takeLockIfFree } from '../../runs/index.ts';

/** Who meets a step that another process is at work on waits for it, or leaves it and throws {@link StepBusy}. */
export type WhenBusy = 'wait' | 'leave';
export type Claim = Pick<FolderLock, 'release'>;

/** Another process is so often asked for. */
const LOOK_MS = 1000;

/** Another process is at work on a step. */
export class StepBusy extends Error {
  override readonly name = 'StepBusy';
  readonly step: string;

  constructor(step: string) {
    super(`Another job is at work on a step that this one needs, too: ${step}.`);
    this.step = step;
  }
}

/** @param folder of the step. @param name of the step, for messages. @throws StepBusy, Cancelled. */
export async function claimStep(
  folder: string,
  name: string,
  whenBusy: WhenBusy,
  signal: AbortSignal | undefined,
): Promise<Claim> {
  await writing(folder, () => mkdir(folder, { recursive: true }));
  for (;;) {
    const lock = takeLockIfFree(folder);
    if (lock !== null) return lock;
    if (whenBusy === 'leave') throw new StepBusy(name);
    throwIfCancelled(signal);
    await sleep(LOOK_MS);
  }
}
