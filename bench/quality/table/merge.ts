/** Numbers of earlier commands beside those of this one. */
import type { Entry, Filled } from './fill.ts';

/** What names a number within a model: no two of them have the same. */
export const keyOf = ({ method, bits, seed, metric, name }: Entry): string =>
  [method, bits, seed, metric, name].join('/');

/** A model's numbers of before, each in its place unless there is a new one, and what is new behind them. */
export function mergedWith(before: Filled | undefined, now: Filled): Filled {
  const entries = new Map([...(before?.entries ?? []), ...now.entries].map((entry) => [keyOf(entry), entry]));
  return { ...now, entries: [...entries.values()] };
}
