import type { MethodOptions } from '../../config/index.ts';
import { addWork, NO_WORK, timesWork } from '../network/work.ts';
import { roundWeights } from '../rounding/gptq/round-weights.ts';
import {
  clippingWork,
  factorWork,
  feedbackWork,
  pairedWork,
  reducingWork,
  walkWork,
} from '../rounding/walk/walk-work.ts';
import type { RoundingMethod } from './method.ts';

type Options = MethodOptions<'gptq'>;

/** GPTQ (Frantar et al. 2023): layer by layer on the second moments of what the rounded layers before hand on. */
export const method: RoundingMethod<Options> = {
  kind: 'rounding',
  version: 1,
  round: {
    samples: ({ samples }) => samples,
    cost({ config, text, quantizers, options }) {
      const { target, magr, magrSteps, learnedClip, learnedClipSteps, sweeps } = options;
      // A sweep feeds each column from all others, not only from those before it.
      const fed = timesWork(1 + (target === 'gptaq' ? 1 : 0) + 2 * sweeps, feedbackWork(config));
      const paired = target === 'weights' ? NO_WORK : pairedWork(config, text, target === 'residual');
      const reducing = magr > 0 ? reducingWork(config, magrSteps) : NO_WORK;
      const clipping = learnedClip ? clippingWork(config, learnedClipSteps) : NO_WORK;
      const walked = addWork(walkWork(config, text, quantizers), paired);
      return { work: addWork(walked, factorWork(config), fed, reducing, clipping), bytes: 0 };
    },
    readsQuantizers: ({ inputs }) => inputs === 'quantized',
    run: ({ cache, network, deployed, exact, blocks, layers, options }, signal) =>
      roundWeights(
        cache,
        {
          network: options.inputs === 'quantized' ? deployed() : network,
          ...(options.target !== 'weights' && { exact: exact() }),
          ...{ blocks, options, layers },
        },
        signal,
      ),
  },
};
