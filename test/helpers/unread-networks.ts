import type { RoundingWork } from '../../src/engine/methods/method.ts';

function unread(): never {
  throw new Error('this method looks at one network only');
}

/** The other networks that a rounding method may ask for, in tests of those that do not. */
export const UNREAD: Pick<RoundingWork<unknown>, 'deployed' | 'exact'> = { deployed: unread, exact: unread };
