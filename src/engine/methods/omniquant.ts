import type { MethodOptions } from '../../config/index.ts';
import { roundClipped } from '../rounding/clipped/round-clipped.ts';
import { walkWork } from '../rounding/walk/walk-work.ts';
import { learnBlocks, learnedSizes, scaledMaps } from '../transform/omniquant/learn-blocks.ts';
import { learnBlocksWork } from '../transform/omniquant/learn-blocks-work.ts';
import type { ScaledSeam } from '../transform/omniquant/parameters.ts';
import type { GridPlace, RoundingMethod } from './method.ts';

type Options = MethodOptions<'omniquant'>;

/**
 * OmniQuant (Shao et al. 2024): ends of weights' grids, and scales of channels where activations are rounded, learned
 * block by block; rounding then writes the codes on the learned grids.
 */
export const method: RoundingMethod<Options> = {
  kind: 'rounding',
  version: 1,
  learns: {
    maps: (place) => scaledMaps(scaledSeams(place)),
    sizes: ({ quantized, place }) => learnedSizes({ quantized, seams: scaledSeams(place) }),
    cost: ({ config, text, options: { epochs } }) => learnBlocksWork(config, text, epochs),
    learn: ({ cache, plain, quantized, place, blocks, layers, options }, signal) =>
      learnBlocks(cache, { plain, quantized, seams: scaledSeams(place), blocks, layers, options }, signal),
  },
  round: {
    samples: ({ samples }) => samples,
    cost: ({ config, text, quantizers }) => ({ work: walkWork(config, text, quantizers), bytes: 0 }),
    run({ cache, network, blocks, layers, grids }, signal) {
      if (!grids) throw new Error('the grids were not learned');
      const task = { method: 'omniquant', network, blocks, layers, clips: grids.clips };
      return roundClipped(cache, task, signal);
    },
  },
};

/**
 * Seams whose channels are scaled: none where activations stay as they are, and none where another map stands. Values
 * need heads of their own for every query head, as in the paper. Scales of queries and keys say nothing to keys that
 * are not rounded, and cannot pass a norm of heads.
 */
function scaledSeams({ config, quantizers, maps }: GridPlace): ScaledSeam[] {
  if (quantizers.input.bits >= 16) return [];
  const { heads, kvHeads, qkNorm } = config;
  const wanted: readonly ScaledSeam[] = [
    'attention-norm',
    'mlp-norm',
    ...(heads === kvHeads ? (['value'] as const) : []),
    ...(quantizers.keys.bits < 16 && !qkNorm ? (['query-key'] as const) : []),
  ];
  return wanted.filter((seam) => !maps[seam]);
}
