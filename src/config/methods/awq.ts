import { z } from 'zod';
import { samples } from '../method-options.ts';
import type { MethodDescriptor } from './descriptor.ts';

const options = z
  .strictObject({
    samples: samples(
      32,
      'Sequences of the calibration text that scales are searched on, from its beginning; all of them where there are fewer. Each passes up to 20 times through every layer. Reference: 128 sequences of 512 tokens.',
    ),
    groupedValues: z
      .boolean()
      .default(true)
      .describe(
        'true to scale the values also where query heads share them: a channel of a key/value head then has one scale for all query heads of its group. false leaves them there. Reference: false.',
      ),
  })
  .prefault({})
  .describe('How AWQ searches scales; not read with another method.');

export const awq = {
  name: 'awq',
  kind: 'scaling',
  title: 'AWQ',
  summary:
    'multiplies the input channels of weights by a power of their mean activation, the one of 20 powers after whose rounding a block gives what is nearest to its full-precision output, and divides whoever writes the channels by the same',
  paper: { authors: 'Lin et al. 2023', arxiv: '2306.00978' },
  options,
  needsText: 'to see which channels are large, and which scales round best',
  compensates: false,
  seams: ['attention-norm', 'mlp-norm', 'value', 'up-down'],
  servesWeights: true,
} as const satisfies MethodDescriptor;
