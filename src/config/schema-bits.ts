import { z } from 'zod';

/** The bits of one number; 16 leaves it as it is. */
export const BITS = [2, 3, 4, 5, 6, 7, 8, 16] as const;
export const bitsSchema = z.literal(BITS);
export type Bits = (typeof BITS)[number];
