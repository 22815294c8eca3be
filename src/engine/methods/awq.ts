import type { MethodOptions } from '../../config/index.ts';
import { scaleSearchWork } from '../transform/awq/scale-search-work.ts';
import { searchScales } from '../transform/awq/search-scales.ts';
import type { ScalingMethod } from './method.ts';

type Options = MethodOptions<'awq'>;

/** AWQ's scales (Lin et al. 2023) at the norms, at the values and before the last weight of each MLP. */
export const method: ScalingMethod<Options> = {
  kind: 'scaling',
  version: 1,
  samples: ({ samples }) => samples,
  maps: {
    'attention-norm': { kind: 'diagonal' },
    'mlp-norm': { kind: 'diagonal' },
    value: { kind: 'diagonal' },
    'up-down': { kind: 'diagonal' },
  },
  readsGrid: true,
  cost: ({ config, text, quantizers }) => scaleSearchWork(config, text, quantizers),
  scale({ options: { groupedValues }, ...work }, signal) {
    return searchScales({ ...work, groupedValues }, signal);
  },
};
