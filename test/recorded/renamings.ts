/**
 * A new version may write these otherwise than the one before. Each entry turns the new form of an object
 * into the old one, and leaves every other object as it is. Parts are turned before wholes. Both recordings
 * pass through the whole table before they are compared.
 */
import { isList, isObject, type Json, type JsonObject } from './json.ts';

interface Renaming {
  /** Says it for people. */
  readonly what: string;
  /** Null for an object that only the new version writes: it is left out of the list that it stands in. */
  readonly toOld: (object: JsonObject) => JsonObject | null;
}

export const RENAMINGS: readonly Renaming[] = [
  {
    what: 'The errors of rounding name their method once: { method, errors: [{ linear, error, nearest }] }.',
    toOld: (object) => {
      const { method, errors, ...rest } = object;
      if (typeof method !== 'string' || !isList(errors)) return object;
      const renamed = errors.map((item) => (isObject(item) ? renameKey(item, 'error', method) : item));
      return { ...rest, errors: renamed };
    },
  },
  {
    what: 'An experiment names how channels are scaled; none is the network of before.',
    toOld: ({ scaling, ...rest }) =>
      isObject(scaling ?? null) && (scaling as JsonObject).method === 'none'
        ? rest
        : { ...rest, ...(scaling !== undefined && { scaling }) },
  },
  {
    what: 'Keys are made of the steps that they belong to: they are other texts for the same results.',
    toOld: ({ key: _, ...rest }) => rest,
  },
  {
    what: 'An evaluation also tells the mean loss, and whose rotations it measured.',
    toOld: ({ meanLoss: _, rotationsOf: __, ...rest }) => rest,
  },
  {
    what: 'A checkpoint also keeps what it was made of, and its losses.',
    toOld: (object) => {
      const { origin, loss: _, ...old } = object;
      return origin === undefined ? object : old;
    },
  },
];

export function toOldForm(value: Json): Json {
  if (isList(value))
    return value.flatMap((item) => {
      const old = toOldForm(item);
      return old === null && item !== null ? [] : [old];
    });
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, toOldForm(item)] as const);
  const start: JsonObject | null = Object.fromEntries(entries);
  return RENAMINGS.reduce((object: JsonObject | null, { toOld }) => object && toOld(object), start);
}

/** The same object with one key called otherwise. */
function renameKey(object: JsonObject, from: string, to: string): JsonObject {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key === from ? to : key, value]));
}
