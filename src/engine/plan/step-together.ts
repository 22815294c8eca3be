/** Ranks that come to a step which others share: rank 0 takes it, and the others get what it has. */
import { mkdir } from 'node:fs/promises';
import { writing } from '../../disk/faults.ts';
import { fromLeader } from '../distributed/agreement.ts';
import { mirrorFolder } from '../distributed/mirror.ts';
import type { Ranks } from '../distributed/ranks.ts';
import { isSent } from './rank-place.ts';
import { type Claim, StepBusy } from './step-lock.ts';

/**
 * To be called on all ranks.
 * @param claim takes the step where it has no result yet; called on rank 0 alone.
 * @returns what was claimed, on rank 0; null where there was nothing to claim. @throws StepBusy on all ranks.
 */
export async function claimTogether(ranks: Ranks, claim: () => Promise<Claim | null>): Promise<Claim | null> {
  let claimed: Claim | null = null;
  const busy = await fromLeader(ranks, async () => {
    try {
      claimed = await claim();
      return '';
    } catch (error) {
      if (error instanceof StepBusy) return error.step;
      throw error;
    }
  });
  if (busy !== '') throw new StepBusy(busy);
  return claimed;
}

/** Copies what rank 0 has in this folder to the folder of the same name on the others; it need not be there. */
export async function mirrorStep(ranks: Ranks, folder: string): Promise<void> {
  await writing(folder, () => mkdir(folder, { recursive: true }));
  await mirrorFolder(ranks, folder, folder, isSent);
}
