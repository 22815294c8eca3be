/** What a sweep of shared results would delete, in lines. Knows nothing of the editor. */
import { formatBytes } from '../../protocol/text.ts';
import type { SweepResult } from '../../protocol/worker.ts';

export interface Unused {
  /** Results that can go. */
  readonly count: number;
  readonly bytes: number;
  /** `gptq: 3, 1.2 MiB`, a line for each step, the largest first. */
  readonly lines: readonly string[];
}

/** @param unfinished the name of results whose step did not end. */
export function unusedIn(found: readonly SweepResult[], unfinished: string): Unused {
  const free = found.flatMap(({ unused }) => unused).filter(({ isFresh }) => !isFresh);
  const steps = new Map<string, { count: number; bytes: number }>();
  for (const { step, bytes } of free) {
    const name = step ?? unfinished;
    const before = steps.get(name) ?? { count: 0, bytes: 0 };
    steps.set(name, { count: before.count + 1, bytes: before.bytes + bytes });
  }
  const sorted = [...steps].sort(([, a], [, b]) => b.bytes - a.bytes);
  return {
    count: free.length,
    bytes: free.reduce((sum, { bytes }) => sum + bytes, 0),
    lines: sorted.map(([name, { count, bytes }]) => `${name}: ${count}, ${formatBytes(bytes)}`),
  };
}
