import { z } from 'zod';
import { samples } from '../method-options.ts';
import type { MethodDescriptor } from './descriptor.ts';

const options = z
  .strictObject({
    alpha: z
      .union([z.number().min(0).max(1), z.literal('search')])
      .default(0.5)
      .describe(
        'How much of the size of channels moves into the weights: 0 evens out the weights, 1 the activations. "search" tries 0, 0.05 … 1 at each norm of each layer, and takes the one with the least error of the output of the layer, quantized as the experiment says with weights to nearest. Reference: 0.5; 0.85 for LLaMA-2-7B, 13B and LLaMA-3-8B, 0.9 for 70B, 0.8 for Mistral.',
      ),
    samples: samples(
      512,
      'Sequences of the calibration text that channel maxima are taken over, from its beginning; all of them where there are fewer. Reference: 512.',
    ),
  })
  .prefault({})
  .describe('How SmoothQuant scales channels; not read with another method.');

export const smoothquant = {
  name: 'smoothquant',
  kind: 'scaling',
  title: 'SmoothQuant',
  summary:
    'divides each channel behind a norm by a scale and multiplies the weights that read it by the same, so the full-precision network stays as it is',
  paper: { authors: 'Xiao et al. 2023', arxiv: '2211.10438' },
  options,
  needsText: 'to see which channels are large',
  compensates: false,
  isInEveryKey: true,
  seams: ['attention-norm', 'mlp-norm'],
} as const satisfies MethodDescriptor;
