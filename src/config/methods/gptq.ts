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
    inputs: z
      .enum(['full-precision', 'quantized'])
      .default('full-precision')
      .describe(
        'The calibration text passes through layers with rounded weights, and with activations, keys and values at full precision or quantized as they will be. Reference: full-precision.',
      ),
    target: z
      .enum(['weights', 'outputs'])
      .default('weights')
      .describe(
        'What the rounded weights come close to: the weights themselves, or the weights that give the outputs of the full-precision network on what the rounded layers before hand on (Qronos, Zhang et al. 2025), for a second pass of the text beside the first. Reference: weights.',
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
  copies: (value) => {
    const { groupScales, target } = options.parse(value);
    return {
      // The drift, and the memory in which it is summed and solved.
      moments: target === 'outputs' ? 2 : 0,
      // What groups feed to later ones, before and after each group, and parts of the weight; the target.
      weights: (groupScales === 'updated' ? 3 : 0) + (target === 'outputs' ? 1 : 0),
    };
  },
  needsText: 'to see which errors of the weights matter',
  compensates: true,
  isInEveryKey: true,
} as const satisfies MethodDescriptor;
