import type { Failure } from './campaign.ts';

/** A failure that is known and not yet mended. */
export interface Known {
  readonly format: string;
  /** Of the place and the message. */
  readonly pattern: RegExp;
  readonly finding: string;
}

/** This list shall become empty. A line goes with the mend of its fault. */
export const KNOWN: readonly Known[] = [];

export function isKnown({ format, where, message }: Failure): boolean {
  return KNOWN.some((known) => known.format === format && known.pattern.test(`${where} ${message}`));
}
