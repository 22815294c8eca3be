import { z } from 'zod';

/** The option of a method that tells how many sequences it reads. */
export const samples = (count: number, description: string) =>
  z.int().min(1).max(1_000_000).default(count).describe(description);

/** The option of a method that solves with second moments of inputs. */
export const damping = (description: string) => z.number().gt(0).max(1).default(0.01).describe(description);
