import type { MethodOptions } from '../../config/index.ts';
import { balancingWork, findBalanced } from '../transform/balance/find-scales.ts';
import type { ScalingMethod } from './method.ts';

type Options = MethodOptions<'balance'>;

/**
 * Scales in rows of v_proj and up_proj, and their inverse in what reads them, that let the least of the rounding behind
 * R2 and R4 through (`balanced-scales.ts` has the formula). Tokens count alike, however long their rows are.
 */
export const method: ScalingMethod<Options> = {
  kind: 'scaling',
  version: 1,
  samples: ({ samples }) => samples,
  maps: { 'value-scale': { kind: 'diagonal' }, 'up-scale': { kind: 'diagonal' } },
  cost: ({ config, text }) => ({ work: balancingWork(config, text), bytes: 0 }),
  async scale({ cache, network, blocks, options }, signal) {
    const found = await findBalanced(cache, network, blocks, signal);
    if (!options.values) for (const scales of found['value-scale']) scales.fill(1);
    return found;
  },
};
