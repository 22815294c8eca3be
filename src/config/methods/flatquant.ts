import { z } from 'zod';
import { samples } from '../method-options.ts';
import type { MethodDescriptor } from './descriptor.ts';

const rate = (value: number, of: string) =>
  z.number().gt(0).max(1).default(value).describe(`Learning rate of ${of}. Reference: ${value}.`);

const options = z
  .strictObject({
    samples: samples(
      16,
      'Sequences of the calibration text that each layer is learned on, from its beginning; all of them where there are fewer. Reference: 128, four at a time.',
    ),
    epochs: z
      .int()
      .min(1)
      .max(10_000)
      .default(15)
      .describe('Each layer sees every sequence so many times. Reference: 15.'),
    learningRate: rate(0.005, 'the maps and of the scales of channels'),
    clipLearningRate: rate(0.05, "the grids' ends"),
    alpha: z
      .number()
      .min(0)
      .max(1)
      .default(0.3)
      .describe(
        'Scales of channels start with this share of the size of channels in the activations, the rest in the weights; at 1 where a rotation of the residual has evened out the channels. Reference: 0.3.',
      ),
    seed: z
      .int()
      .min(0)
      .max(Number.MAX_SAFE_INTEGER)
      .default(0)
      .describe(
        'Decides the rotations that maps start from, of the input of down alone where the residual is rotated, and the order of the sequences in each epoch.',
      ),
  })
  .prefault({})
  .describe('How FlatQuant learns; not read with another method.');

export const flatquant = {
  name: 'flatquant',
  kind: 'scaling',
  title: 'FlatQuant',
  summary:
    'learns, layer by layer, invertible maps in front of q, k and v, of gate and up, and of down, each a Kronecker product of two small matrices that is computed at run time, so that the quantized output of the layer stays; clip ratios that are `searched` are learned with them, and searched again behind it',
  paper: { authors: 'Sun et al. 2025', arxiv: '2410.09426' },
  options,
  needsText: 'to see what layers give',
  compensates: false,
  seeded: true,
  mixes: true,
  seams: ['attention-norm', 'mlp-norm', 'up-down'],
} as const satisfies MethodDescriptor;
