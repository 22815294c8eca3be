import { z } from 'zod';
import type { SeamName } from '../../protocol/block.ts';
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
    keys: z
      .boolean()
      .default(false)
      .describe(
        'true also scales the channels of keys, and those of queries by the inverse, before RoPE: one scale for both channels that RoPE turns into each other, shared by the queries of a key head. The Hadamard transform of queries and keys stands behind them. Not with norms of heads, as Qwen3 has them. Reference: none.',
      ),
    norms: z
      .boolean()
      .default(false)
      .describe(
        'true also scales the channels that q, k and v, and gate and up read: a product with the gain of each norm at run time, since gains otherwise go into weights. Reference: none.',
      ),
    samples: samples(
      64,
      'Sequences of the calibration text that channel sizes are taken over, from its beginning; all of them where there are fewer. Reference: none.',
    ),
  })
  .prefault({})
  .describe('How channels in front of rotations are balanced; not read with another method.');

function seamsOf({ norms, keys }: z.output<typeof options>): SeamName[] {
  return [
    ...(norms ? (['attention-norm', 'mlp-norm'] as const) : []),
    'value-scale',
    ...(keys ? (['query-key-scale'] as const) : []),
    'up-scale',
  ];
}

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
  seams: ['attention-norm', 'mlp-norm', 'value-scale', 'query-key-scale', 'up-scale'],
  uses: (given: unknown) => seamsOf(options.parse(given)),
} as const satisfies MethodDescriptor;
