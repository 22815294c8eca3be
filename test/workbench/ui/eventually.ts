import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Looks again and again until what is seen is as it should be.
 * @param limitMs learning and evaluation on a busy machine take their time: a limit against hanging, not a measure.
 */
export async function eventually<T>(
  what: string,
  see: () => T | Promise<T>,
  isRight: (seen: T) => boolean,
  limitMs = 120_000,
): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const seen = await see();
    if (isRight(seen)) return seen;
    if (Date.now() > deadline)
      throw new Error(`Not within ${limitMs / 1000} s: ${what}. Seen last: ${JSON.stringify(seen)}`);
    await sleep(100);
  }
}
