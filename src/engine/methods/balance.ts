import type { MethodOptions } from '../../config/index.ts';
import { addWork, prepareWeights } from '../network/work.ts';
import { balancedNorms } from '../transform/balance/balanced-norms.ts';
import { balancingWork, findBalanced } from '../transform/balance/find-scales.ts';
import type { ScalingMethod } from './method.ts';

type Options = MethodOptions<'balance'>;

/**
 * Scales in rows of v_proj and up_proj, and their inverse in what reads them, that let the least of the rounding behind
 * R2 and R4 through (`balanced-scales.ts` has the formula), and on demand scales behind norms by the same formula. Tokens count alike, however long their rows are.
 */
export const method: ScalingMethod<Options> = {
  kind: 'scaling',
  version: 1,
  samples: ({ samples }) => samples,
  maps: {
    'attention-norm': { kind: 'diagonal' },
    'mlp-norm': { kind: 'diagonal' },
    'value-scale': { kind: 'diagonal' },
    'up-scale': { kind: 'diagonal' },
  },
  cost({ config, text, options: { norms } }) {
    const pass = balancingWork(config, text);
    const readers = prepareWeights(config, { mapped: true, searched: false });
    return { work: norms ? addWork(pass, pass, readers) : pass, bytes: 0 };
  },
  async scale(work, signal) {
    const { cache, network, blocks, options } = work;
    const found = await findBalanced(cache, network, blocks, signal);
    if (!options.values) for (const scales of found['value-scale']) scales.fill(1);
    return options.norms ? { ...found, ...(await balancedNorms(work, signal)) } : found;
  },
};
