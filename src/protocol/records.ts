/** Records whose keys are known by name, without casts at each place that makes one. */

/** A value for every key. */
export function recordOf<Key extends string, Value>(
  keys: readonly Key[],
  make: (key: Key) => Value,
): Record<Key, Value> {
  // Every key gets its value: the type says no more than that.
  return Object.fromEntries(keys.map((key) => [key, make(key)])) as Record<Key, Value>;
}

/** A value for every key that has one. */
export function partialOf<Key extends string, Value>(
  keys: readonly Key[],
  make: (key: Key) => Value | null | undefined,
): Partial<Record<Key, Value>> {
  const record: Partial<Record<Key, Value>> = {};
  for (const key of keys) {
    const value = make(key);
    if (value !== null && value !== undefined) record[key] = value;
  }
  return record;
}
