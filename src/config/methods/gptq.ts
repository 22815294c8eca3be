import { z } from 'zod';
import type { MethodDescriptor } from './descriptor.ts';

const options = z
  .strictObject({
    samples: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(128)
      .describe(
        'Sequences of the calibration text that GPTQ looks at, from its beginning; all of them where there are fewer. Reference: 128, drawn at random.',
      ),
    damping: z
      .number()
      .gt(0)
      .max(1)
      .default(0.01)
      .describe(
        "Added to the diagonal of the inputs' second moments, as a share of its mean: more of it compensates less, and trusts the sample less. Reference: 0.01.",
      ),
  })
  .prefault({})
  .describe('How GPTQ rounds weights; not read with another method.');

export const gptq = {
  name: 'gptq',
  kind: 'rounding',
  title: 'GPTQ',
  summary:
    'compensates each rounding error with the weights of its row that follow, as the calibration text asks for',
  paper: { authors: 'Frantar et al. 2023', arxiv: '2210.17323' },
  options,
  needsText: 'to see which errors of the weights matter',
  compensates: true,
} as const satisfies MethodDescriptor;
