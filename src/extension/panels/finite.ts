/**
 * JSON has no NaN and no infinity: `JSON.stringify` writes them as null, so what a run folder calls a number may be null.
 * @returns the number, or null for anything else.
 */
export function finite(value: number | null | undefined): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** A number of a sentence; a dash for one that is not finite. */
export function sayNumber(value: number | null, format: (value: number) => string): string {
  const known = finite(value);
  return known === null ? '–' : format(known);
}
