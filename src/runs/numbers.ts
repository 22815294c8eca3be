import { z } from 'zod';

/** A number of a result. JSON has none that is not finite, and writes null in its place. */
export const measuredNumber = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);

/**
 * A list of these. Statistics have millions: one pass looks at all of them, and a list without holes is taken as it is.
 */
export const measuredNumbers = z.unknown().transform((value, context): number[] => {
  if (Array.isArray(value)) {
    const list: readonly unknown[] = value;
    if (list.every(isNumber)) return value;
    if (list.every((item) => item === null || isNumber(item)))
      return list.map((item) => (isNumber(item) ? item : Number.NaN));
  }
  context.issues.push({ code: 'custom', input: value, message: 'expected a list of numbers' });
  return z.NEVER;
});

const isNumber = (value: unknown): value is number => typeof value === 'number';
