import { BITS, type Bits } from '../schema-bits.ts';

/** The bits of a column of a table, as papers write them: weights, activations, keys and values. */
export interface BitSetting {
  readonly weights: Bits;
  readonly activations: Bits;
  readonly cache: Bits;
}

/** Nothing is rounded. */
export const FULL_PRECISION_BITS = '16-16-16';

/** Reads `4-8-16`. @returns null for anything else. */
export function parseBits(text: string): BitSetting | null {
  const numbers = text.split('-').map((part) => BITS.find((bits) => String(bits) === part));
  const [weights, activations, cache] = numbers;
  if (numbers.length !== 3 || !weights || !activations || !cache) return null;
  return { weights, activations, cache };
}
