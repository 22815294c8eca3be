import { z } from 'zod';
import { samples } from '../method-options.ts';
import type { MethodDescriptor } from './descriptor.ts';

const options = z
  .strictObject({
    samples: samples(
      256,
      'Sequences of calibration.sequenceLength tokens that the full-precision network writes itself, and that the weights are trained on. Reference: about 100,000.',
    ),
    steps: z
      .int()
      .min(1)
      .max(1_000_000)
      .nullable()
      .default(null)
      .describe(
        'Optimizer steps; null for one pass over the samples. More steps than that see each sample again, in another order. Reference: one pass.',
      ),
    learningRate: z
      .number()
      .gt(0)
      .max(1)
      .default(2e-5)
      .describe(
        'Learning rate of AdamW at the first step; it falls to 0 by a cosine, without warm-up. Small models need more. Reference: 2e-5.',
      ),
    batchSize: z
      .int()
      .min(1)
      .max(65_536)
      .default(8)
      .describe('Sequences in one optimizer step. Reference: 8 (one on each of 8 GPUs).'),
  })
  .prefault({})
  .describe('How LLM-QAT trains; not read with another method.');

export const llmQat = {
  name: 'llm-qat',
  kind: 'training',
  title: 'LLM-QAT',
  summary:
    'trains every weight of the quantized network to predict what the full-precision network predicts, on text that this one writes',
  paper: { authors: 'Liu et al. 2023', arxiv: '2305.17888' },
  options,
  needsText: null,
  compensates: false,
  seeded: true,
} as const satisfies MethodDescriptor;
