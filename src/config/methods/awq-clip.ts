import { z } from 'zod';
import { samples } from '../method-options.ts';
import type { MethodDescriptor } from './descriptor.ts';

const options = z
  .strictObject({
    samples: samples(
      32,
      'Sequences of the calibration text that tokens are taken from, from its beginning; all of them where there are fewer. Reference: 128 sequences of 512 tokens.',
    ),
    tokens: z
      .int()
      .min(1)
      .max(65_536)
      .default(512)
      .describe(
        'Tokens that outputs are compared on, at even distances over the sequences; all of them where there are fewer. Reference: 512.',
      ),
  })
  .prefault({})
  .describe('How AWQ searches clipping bounds; not read with another method.');

export const awqClip = {
  name: 'awq-clip',
  kind: 'rounding',
  title: 'AWQ clip',
  summary:
    'clips each row or group of all weights but q and k at the one of ten bounds, 1.00 to 0.55 of its largest, after which its share of the output is nearest to that before, and rounds to nearest',
  paper: { authors: 'Lin et al. 2023', arxiv: '2306.00978' },
  options,
  needsText: 'to see which bounds leave the outputs as they are',
  compensates: false,
} as const satisfies MethodDescriptor;
