import type { MethodOptions } from '../../config/index.ts';
import { clipSearchWork } from '../rounding/awq-clip/clip-search-work.ts';
import { clipWeights } from '../rounding/awq-clip/clip-weights.ts';
import type { RoundingMethod } from './method.ts';

type Options = MethodOptions<'awq-clip'>;

/** AWQ's clip search (Lin et al. 2023), then rounding to nearest: every layer on full-precision inputs. */
export const method: RoundingMethod<Options> = {
  kind: 'rounding',
  version: 1,
  round: {
    samples: ({ samples }) => samples,
    cost: ({ config, text, quantizers, options: { tokens } }) =>
      clipSearchWork(config, text, { tokens, quantizers }),
    run: ({ cache, network, blocks, layers, options: { tokens } }, signal) =>
      clipWeights(cache, { network, blocks, tokens, layers }, signal),
  },
};
