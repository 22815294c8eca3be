/** Hexadecimal digits of a key in a folder's name. */
const DIGITS = 32;

/** The name of the folder that holds what was made under a key. */
export function nameOfKey(key: string): string {
  return key.slice(0, DIGITS);
}

/** True for a name that {@link nameOfKey} gives. */
export function isNameOfKey(name: string): boolean {
  return name.length === DIGITS && /^[0-9a-f]+$/.test(name);
}
