import type { MethodOptions } from '../../config/index.ts';
import { learnLayers } from '../transform/flatquant/learn-layers.ts';
import { learnLayersWork } from '../transform/flatquant/work.ts';
import type { ScalingMethod } from './method.ts';

type Options = MethodOptions<'flatquant'>;

/**
 * FlatQuant (Sun et al. 2025) at the inputs of q, k and v, of gate and up, and of down: maps P₁ ⊗ P₂ at run time, whose
 * inverses are merged into the weights that read them.
 */
export const method: ScalingMethod<Options> = {
  kind: 'scaling',
  version: 1,
  samples: ({ samples }) => samples,
  maps: {
    'attention-norm': { kind: 'kronecker' },
    'mlp-norm': { kind: 'kronecker' },
    'up-down': { kind: 'kronecker' },
  },
  readsQuantizers: () => true,
  cost: ({ config, text, options: { epochs } }) => learnLayersWork(config, text, epochs),
  scale({ cache, merged, blocks, options, clipped, kept, scratch }, signal) {
    return learnLayers(cache, { ...merged(), blocks, options, clipped, kept, scratch }, signal);
  },
};
