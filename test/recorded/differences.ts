import { isList, isObject, type Json } from './json.ts';

export interface Difference {
  readonly path: string;
  /** Undefined where there is no such value. */
  readonly before: Json | undefined;
  readonly after: Json | undefined;
}

/**
 * Lists where two values differ, in order. Numbers are equal only if they are the same; the order of keys
 * says nothing.
 */
export function differences(before: Json | undefined, after: Json | undefined, path = ''): Difference[] {
  if (isList(before) && isList(after)) {
    const inside = before.flatMap((item, index) => differences(item, after[index], join(path, index)));
    const more = after.slice(before.length).map((item, index) => ({
      path: join(path, before.length + index),
      before: undefined,
      after: item,
    }));
    return [...inside, ...more];
  }
  if (isObject(before) && isObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) => differences(before[key], after[key], join(path, key)));
  }
  return Object.is(before, after) ? [] : [{ path, before, after }];
}

/** Texts, numbers and the like in a value. */
export function countValues(value: Json | undefined): number {
  if (value === undefined) return 0;
  if (!isList(value) && !isObject(value)) return 1;
  return Object.values(value).reduce((sum: number, item: Json) => sum + countValues(item), 0);
}

function join(path: string, key: string | number): string {
  return path === '' ? String(key) : `${path} › ${key}`;
}
