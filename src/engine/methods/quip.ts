import type { MethodOptions } from '../../config/index.ts';
import { addWork } from '../network/work.ts';
import { latticeWork } from '../rounding/quip/lattice-work.ts';
import { QuipRounder } from '../rounding/quip/quip-rounder.ts';
import { walkLayers } from '../rounding/walk/walk-layers.ts';
import { factorWork, walkWork } from '../rounding/walk/walk-work.ts';
import type { RoundingMethod } from './method.ts';

type Options = MethodOptions<'quip'>;

/** QuIP# (Tseng et al. 2024) without fine-tuning: on the second moments of what the rounded layers before hand on. */
export const method: RoundingMethod<Options> = {
  kind: 'rounding',
  version: 1,
  round: {
    samples: ({ samples }) => samples,
    dense: true,
    cost: ({ config, text, quantizers, options: { sweeps } }) => ({
      work: addWork(
        walkWork(config, text, quantizers),
        factorWork(config),
        latticeWork(config, { bits: quantizers.weights.bits, sweeps }),
      ),
      bytes: 0,
    }),
    run({ cache, network, blocks, layers, options }, signal) {
      const rounder = new QuipRounder(cache, network, options);
      return walkLayers(cache, { network, blocks, layers, method: 'quip', rounder }, signal);
    },
  },
};
