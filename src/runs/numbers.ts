import { z } from 'zod';

/** A number of a result. JSON has none that is not finite, and writes null in its place. */
export const measuredNumber = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);
