import { z } from 'zod';

/** The bits of one number; 16 leaves it as it is. */
export const BITS = [2, 3, 4, 5, 6, 7, 8, 16] as const;
export const bitsSchema = z.literal(BITS);
export type Bits = (typeof BITS)[number];

/** Consecutive numbers that share one scale; null for whole rows. */
export const groupSizeSchema = z.int().min(1).max(1_048_576).nullable();
