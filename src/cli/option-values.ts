/** Values of options, checked where the command line is read. */
import { InvalidArgumentError } from 'commander';
import { TABLE_BITS } from '../protocol/export-formats.ts';
import { BESIDE_NAMES } from '../protocol/speed.ts';

const MAX_SEED = 2 ** 32 - 1;
/** Far above the positions of any model. */
export const MAX_TOKENS = 2 ** 31 - 1;

type Parse<T> = (text: string) => T;

export function parseWhole(least: number, most: number): Parse<number> {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Allowed: a whole number from ${least} to ${most}.`);
  };
}

/** @param allowed in words. */
export function parseReal(allowed: string, isAllowed: (value: number) => boolean): Parse<number> {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isFinite(value) && isAllowed(value)) return value;
    throw new InvalidArgumentError(`Allowed: ${allowed}.`);
  };
}

export const parseSeed = parseWhole(0, MAX_SEED);
export const SHARE = parseReal('a number above 0, up to 1', (share) => share > 0 && share <= 1);

export function collectStop(text: string, before: readonly string[] = []): readonly string[] {
  if (text === '') throw new InvalidArgumentError('Allowed: a text that is not empty.');
  return [...before, text];
}

const CACHE_BITS = [16, 8, 4] as const;

function parseBits<const T extends number>(allowed: readonly T[]): Parse<T> {
  return (text) => {
    const found = allowed.find((bits) => String(bits) === text);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`Allowed: ${allowed.join(', ')}.`);
  };
}

export const parseCache = parseBits(CACHE_BITS);
export const parseHeadBits = parseBits([16, 8]);
export const parseTableBits = parseBits(TABLE_BITS);

/** Words between commas; `none` for none. */
function parseList<T>(parse: (word: string) => T): Parse<readonly T[]> {
  return (text) => (text === 'none' ? [] : text.split(',').map((word) => parse(word.trim())));
}

export const parseDepths = parseList(parseWhole(1, MAX_TOKENS));

export const parseBeside = parseList((word) => {
  const found = BESIDE_NAMES.find((name) => name === word);
  if (found !== undefined) return found;
  throw new InvalidArgumentError(`Allowed: ${BESIDE_NAMES.join(', ')}, between commas, or none.`);
});
