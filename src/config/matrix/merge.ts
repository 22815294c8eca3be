import { isObject } from '../../protocol/object.ts';

/** A value of a JSON text. Objects are merged key by key; anything else replaces what was there. */
export function mergeSettings(base: unknown, ...patches: readonly unknown[]): unknown {
  return patches.reduce(mergeTwo, base);
}

function mergeTwo(base: unknown, patch: unknown): unknown {
  if (patch === undefined) return base;
  if (!isObject(base) || !isObject(patch)) return patch;
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(patch)) merged[key] = mergeTwo(base[key], value);
  return merged;
}
