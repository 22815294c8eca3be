/** Below this share of the work its pace tells too little: the first pieces also warm caches up. */
const LEAST_DONE = 0.02;

/**
 * Seconds that the rest of a piece of work takes at its mean pace so far, or null while that cannot be told.
 * @param startedAt and `now`: ISO 8601.
 * @param done share of the work, 0 to 1.
 */
export function secondsLeftOf(startedAt: string | null, now: string, done: number): number | null {
  if (startedAt === null || !(done >= LEAST_DONE)) return null;
  const passed = (Date.parse(now) - Date.parse(startedAt)) / 1000;
  const left = (passed * (1 - done)) / done;
  return left >= 0 && Number.isFinite(left) ? left : null;
}
