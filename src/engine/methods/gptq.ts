import type { MethodOptions } from '../../config/index.ts';
import { addWork } from '../network/work.ts';
import { roundWeights } from '../rounding/gptq/round-weights.ts';
import { factorWork, feedbackWork, walkWork } from '../rounding/walk/walk-work.ts';
import type { RoundingMethod } from './method.ts';

type Options = MethodOptions<'gptq'>;

/** GPTQ (Frantar et al. 2023): layer by layer on the second moments of what the rounded layers before hand on. */
export const method: RoundingMethod<Options> = {
  kind: 'rounding',
  version: 1,
  round: {
    samples: ({ samples }) => samples,
    cost: ({ config, text, quantizers }) => ({
      work: addWork(walkWork(config, text, quantizers), factorWork(config), feedbackWork(config)),
      bytes: 0,
    }),
    readsQuantizers: ({ inputs }) => inputs === 'quantized',
    run: ({ cache, network, deployed, exact, blocks, layers, options }, signal) =>
      roundWeights(
        cache,
        {
          network: options.inputs === 'quantized' ? deployed() : network,
          ...(options.target === 'outputs' && { exact: exact() }),
          ...{ blocks, options, layers },
        },
        signal,
      ),
  },
};
