/** Tells whether a number that somebody else wrote can be a size: whole, not below 0, exact in a double. */
export function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0);
}

/**
 * Returns how many elements a tensor of these dimensions has, or null where a product leaves the whole numbers that a
 * double holds: such a tensor is in no file, whatever the dimensions behind are.
 */
export function elementCountIn(dims: readonly number[]): number | null {
  let count = 1;
  for (const dim of dims) {
    count *= dim;
    if (!Number.isSafeInteger(count)) return null;
  }
  return count;
}

/** The same in bytes. */
export function byteCount(dims: readonly number[], bytesPerElement: number): number | null {
  return elementCountIn([...dims, bytesPerElement]);
}
