import { z } from 'zod';
import { damping, samples } from '../method-options.ts';
import type { MethodDescriptor } from './descriptor.ts';

const options = z
  .strictObject({
    samples: samples(
      128,
      'GPTQ reads this many sequences of the calibration text, from its beginning; all of them where there are fewer. Reference: 128, drawn at random.',
    ),
    damping: damping(
      "This share of its mean is added to the diagonal of the inputs' second moments. More damping compensates less and trusts the sample less. Reference: 0.01.",
    ),
    actOrder: z
      .boolean()
      .default(false)
      .describe(
        'true rounds the inputs with the largest second moments first (act-order). Groups stay those of neighbouring inputs, with scales of the weights before rounding. Reference: false.',
      ),
    groupScales: z
      .enum(['static', 'updated'])
      .default('static')
      .describe(
        'The scales of a group of weights: static takes them from the weights before rounding, updated from the weights as the errors before the group have moved them. Reference: updated, but stale inside a block of 128 inputs.',
      ),
  })
  .prefault({})
  .describe('Settings of GPTQ; not read with another method.');

export const gptq = {
  name: 'gptq',
  kind: 'rounding',
  title: 'GPTQ',
  summary:
    'compensates each rounding error in the later weights of its row, as the calibration text requires',
  paper: { authors: 'Frantar et al. 2023', arxiv: '2210.17323' },
  options,
  between: (value) => {
    const { actOrder, groupScales } = options.parse(value);
    if (!actOrder || groupScales === 'static') return [];
    return [
      {
        option: 'groupScales',
        code: 'config/group-scales',
        message:
          '"updated" takes the scales when a group begins, but with actOrder inputs of all groups are rounded in turn.',
        hint: 'Set groupScales to "static", or actOrder to false.',
      },
    ];
  },
  // What groups feed to later ones, before and after each group, and parts of the weight.
  copies: (value) => ({ moments: 0, weights: options.parse(value).groupScales === 'updated' ? 3 : 0 }),
  needsText: 'to see which errors of the weights matter',
  compensates: true,
  isInEveryKey: true,
} as const satisfies MethodDescriptor;
