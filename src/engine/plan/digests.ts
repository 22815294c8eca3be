/** Results are what their numbers are. */
import { type SeamState, seamsIn } from '../network/seams.ts';
import { digestOf } from './step.ts';

export function digestOfMaps(state: SeamState): string {
  const seams = seamsIn(state);
  return digestOf(
    seams,
    seams.flatMap((seam) => state[seam] ?? []),
  );
}

/** @param blocks of token ids. */
export function digestOfBlocks(blocks: readonly Int32Array[]): string {
  return digestOf('blocks', blocks);
}
