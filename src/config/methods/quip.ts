import { z } from 'zod';
import { damping, samples } from '../method-options.ts';
import type { MethodDescriptor } from './descriptor.ts';

const options = z
  .strictObject({
    samples: samples(
      128,
      'QuIP# reads this many sequences of the calibration text, from its beginning; all of them where there are fewer. Reference: 6144 of another text.',
    ),
    damping: damping(
      "This share of its mean is added to the diagonal of the inputs' second moments. Reference: 0.01.",
    ),
    sweeps: z
      .int()
      .min(0)
      .max(100)
      .default(10)
      .describe('Sweeps of coordinate descent that look at every block again. Reference: 10.'),
    scale: z
      .number()
      .min(0.1)
      .max(10)
      .nullable()
      .default(null)
      .describe(
        'The root mean square that weights have in the scale of the codebook; null chooses by the bits. Reference: 1.03 at 2 bits (0.9 is advised too) and at 4, 0.98 at 3.',
      ),
    seed: z
      .int()
      .min(0)
      .max(Number.MAX_SAFE_INTEGER)
      .default(0)
      .describe('Draws the random signs of both sides of a weight. Reference: drawn anew each time.'),
  })
  .prefault({})
  .describe('Settings of QuIP#; not read with another method.');

export const quip = {
  name: 'quip',
  kind: 'rounding',
  title: 'QuIP#',
  summary:
    'mixes both sides of each weight by random Hadamard transforms and rounds eight weights at a time to a lattice, with 2, 3 or 4 bits and activations as they are',
  paper: { authors: 'Tseng et al. 2024', arxiv: '2402.04396' },
  options,
  needsText: 'to see which errors of the weights matter',
  compensates: true,
  // Mixed moments, and two factors of them; the mixed weight, the same in units, and points there and back.
  copies: () => ({ moments: 3, weights: 4 }),
  seeded: true,
  bits: [2, 3, 4],
  weightsOnly: true,
} as const satisfies MethodDescriptor;
