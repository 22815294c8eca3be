import { z } from 'zod';
import type { SeamName } from '../../protocol/block.ts';
import { samples } from '../method-options.ts';
import type { MethodDescriptor } from './descriptor.ts';

const options = z
  .strictObject({
    norms: z
      .boolean()
      .default(false)
      .describe(
        'true also learns scales of the channels that q, k and v, and gate and up read: a product with the gain of each norm at run time, since gains otherwise go into weights. Reference: true.',
      ),
    values: z
      .boolean()
      .default(true)
      .describe('true also learns scales of the channels of values. Reference: true.'),
    start: z
      .enum(['balance', 'ones'])
      .default('balance')
      .describe(
        'Scales of values and of the input of down_proj start here: balance is what the method balance finds, ones is no scale. Those behind norms start at ones. Reference: ones.',
      ),
    steps: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(60)
      .describe('Optimizer steps. Reference: 150, of rotations and scales together.'),
    learningRate: z
      .number()
      .gt(0)
      .max(1)
      .default(0.02)
      .describe(
        'Learning rate of the logarithms of scales at the first step; it falls to 0 by half a cosine. Reference: none for logarithms.',
      ),
    batchSize: z
      .int()
      .min(1)
      .max(65_536)
      .default(8)
      .describe('Sequences in one optimizer step. Reference: 8 (one on each of 8 GPUs).'),
    samples: samples(
      512,
      'Sequences of the calibration text that scales are learned on, from its beginning; all of them where there are fewer. Reference: 1000.',
    ),
    seed: z
      .int()
      .min(0)
      .max(Number.MAX_SAFE_INTEGER)
      .default(0)
      .describe('Decides the order of the sequences behind the first pass over them.'),
  })
  .prefault({})
  .describe('How scales of channels are learned; not read with another method.');

function seamsOf({ norms, values }: z.output<typeof options>): SeamName[] {
  return [
    ...(norms ? (['attention-norm', 'mlp-norm'] as const) : []),
    ...(values ? (['value-scale'] as const) : []),
    'up-scale',
  ];
}

export const learnedScales = {
  name: 'learned-scales',
  kind: 'scaling',
  title: 'Learned scales',
  summary:
    'learns scales of channels through the quantized network, with rotations as they are, so that its probabilities come near those of the full-precision network (KL-Top); all are merged into weights but those behind norms',
  paper: { authors: 'Hu et al. 2025', arxiv: '2501.13987' },
  options,
  needsText: 'to see what the quantized network predicts',
  compensates: false,
  seeded: true,
  seams: ['attention-norm', 'mlp-norm', 'value-scale', 'up-scale'],
  uses: (given: unknown) => seamsOf(options.parse(given)),
} as const satisfies MethodDescriptor;
