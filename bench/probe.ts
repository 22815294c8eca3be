/** Parts of measurements that call native operators in a process of their own. */
import { loadAddon } from '../src/engine/runtime/addon.ts';

export interface Row {
  readonly name: string;
  /** Of one call: the fastest of all, and the median. */
  readonly milliseconds: number;
  readonly median: number;
  /** Bytes of weights or of a cache as a call reads them, scales included. */
  readonly bytes: number;
}

export interface Result {
  readonly instructionSet: string;
  /** Bytes per second that all threads together read, the most of all rounds. */
  readonly readBandwidth: number;
  readonly clock: number;
  readonly rows: readonly Row[];
}

/** The native operators and the best instruction set. @throws Error where they are not built. */
export function openAddon() {
  const addon = loadAddon();
  if (!addon) throw new Error('the native operators are not built: npm run build:native');
  return { addon, isa: addon.instructionSets().at(-1)! };
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1]!;
