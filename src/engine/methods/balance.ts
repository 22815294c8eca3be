import type { MethodOptions } from '../../config/index.ts';
import { addWork, prepareWeights } from '../network/work.ts';
import { balancedKeys, requireFreeKeys } from '../transform/balance/balanced-keys.ts';
import { balancedNorms } from '../transform/balance/balanced-norms.ts';
import { balancingWork, findBalanced } from '../transform/balance/find-scales.ts';
import type { ScalingMethod } from './method.ts';

type Options = MethodOptions<'balance'>;

/**
 * Scales in rows of v_proj and up_proj, and their inverse in what reads them, that let the least of the rounding behind
 * R2 and R4 through (`balanced-scales.ts` has the formula), and on demand scales of keys against queries before R3, and scales behind norms, by the same formula. Tokens count alike, however long their rows are.
 */
export const method: ScalingMethod<Options> = {
  kind: 'scaling',
  version: 1,
  samples: ({ samples }) => samples,
  maps: {
    'attention-norm': { kind: 'diagonal' },
    'mlp-norm': { kind: 'diagonal' },
    'value-scale': { kind: 'diagonal' },
    'query-key-scale': { kind: 'diagonal' },
    'up-scale': { kind: 'diagonal' },
  },
  cost({ config, text, options: { norms, keys } }) {
    const pass = balancingWork(config, text);
    const readers = prepareWeights(config, { mapped: true, searched: false });
    const more = [...(norms ? [pass, readers] : []), ...(keys ? [pass] : [])];
    return { work: addWork(pass, ...more), bytes: 0 };
  },
  async scale(work, signal) {
    const { cache, network, blocks, options } = work;
    if (options.keys) requireFreeKeys(network.checkpoint.config);
    const found = await findBalanced(cache, network, blocks, signal);
    if (!options.values) for (const scales of found['value-scale']) scales.fill(1);
    return {
      ...found,
      ...(options.norms && (await balancedNorms(work, signal))),
      ...(options.keys && { 'query-key-scale': await balancedKeys(cache, network, blocks, signal) }),
    };
  },
};
