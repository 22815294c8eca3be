import { z } from 'zod';
import { samples } from '../method-options.ts';
import type { MethodDescriptor } from './descriptor.ts';

const options = z
  .strictObject({
    values: z
      .boolean()
      .default(false)
      .describe(
        'true also scales the channels of values, whose rotation was learned without these scales; false those of the input of down_proj alone. Reference: none.',
      ),
    samples: samples(
      64,
      'Sequences of the calibration text that channel sizes are taken over, from its beginning; all of them where there are fewer. Reference: none.',
    ),
  })
  .prefault({})
  .describe('How channels behind v_proj and up_proj are balanced; not read with another method.');

export const balance = {
  name: 'balance',
  kind: 'scaling',
  title: 'Balance',
  summary:
    'scales rows of v_proj and up_proj, and the columns of o_proj and down_proj that read them by the inverse, so that rotations behind them let the least of the rounding through, at no cost at run time',
  paper: null,
  options,
  needsText: 'to see how large channels are',
  compensates: false,
  seams: ['value-scale', 'up-scale'],
} as const satisfies MethodDescriptor;
