import { z } from 'zod';

/** The option of a method that tells how many sequences it reads. */
export const samples = (count: number, description: string) =>
  z.int().min(1).max(1_000_000).default(count).describe(description);
