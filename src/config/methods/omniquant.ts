import { z } from 'zod';
import { samples } from '../method-options.ts';
import type { MethodDescriptor } from './descriptor.ts';

const options = z
  .strictObject({
    samples: samples(
      128,
      'Sequences of the calibration text that each block is learned on, from its beginning; all of them where there are fewer. Reference: 128.',
    ),
    epochs: z
      .int()
      .min(1)
      .max(10_000)
      .default(20)
      .describe('Each block sees every sequence so many times. Reference: 20.'),
    clipLearningRate: z
      .number()
      .gt(0)
      .max(1)
      .default(0.01)
      .describe("Learning rate of the grids' ends. Reference: 0.01."),
    scaleLearningRate: z
      .number()
      .gt(0)
      .max(1)
      .default(0.005)
      .describe(
        'Learning rate of the scales of channels. They are learned where activations have fewer than 16 bits. Reference: 0.005; 0.001 for LLaMA-2 at W4A4.',
      ),
    alpha: z
      .number()
      .min(0)
      .max(1)
      .default(0.5)
      .describe(
        'Scales start with this share of the size of channels in the weights: 0 evens out the weights, 1 the activations. Reference: 0.5; 0.75 for LLaMA-2 at W4A4.',
      ),
    seed: z
      .int()
      .min(0)
      .max(Number.MAX_SAFE_INTEGER)
      .default(0)
      .describe('Decides the order of the sequences in each epoch. Reference: in the order of the text.'),
  })
  .prefault({})
  .describe('How OmniQuant learns; not read with another method.');

export const omniquant = {
  name: 'omniquant',
  kind: 'rounding',
  title: 'OmniQuant',
  summary:
    "learns, block by block, how far the ends of each grid are shortened and, where activations are rounded too, scales of channels (`clip` then says nothing), so that the block's output stays",
  paper: { authors: 'Shao et al. 2024', arxiv: '2308.13137' },
  options,
  needsText: 'to see what blocks give',
  compensates: true,
  seeded: true,
  scalesChannels: true,
} as const satisfies MethodDescriptor;
