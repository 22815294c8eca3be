import type { MethodOptions } from '../../config/index.ts';
import { addWork, layerForward, passesOver, timesWork, tokensOf } from '../network/work.ts';
import { balancedScales } from '../transform/balance/balanced-scales.ts';
import { activationShares, type BalancedSeam, readerSquares } from '../transform/balance/channel-sizes.ts';
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
  cost({ config, text }) {
    const one = { sequences: 1, length: text.length };
    const seen = passesOver(tokensOf(one) * config.intermediateSize, 3);
    const pass = addWork(layerForward(config, one, false), seen);
    return { work: timesWork(text.sequences * config.layers, pass), bytes: 0 };
  },
  async scale({ cache, network, blocks, options }, signal) {
    const { headDim, intermediateSize } = network.checkpoint.config;
    const found: Record<BalancedSeam, Float32Array[]> = { 'value-scale': [], 'up-scale': [] };
    for (const [layer, shares] of (await activationShares(cache, network, blocks, signal)).entries()) {
      const readers = await readerSquares(cache, network, layer, signal);
      const scales = (seam: BalancedSeam, width: number) =>
        balancedScales(shares[seam], readers[seam], width);
      const ofValues = scales('value-scale', headDim);
      found['value-scale'].push(options.values ? ofValues : ofValues.fill(1));
      found['up-scale'].push(scales('up-scale', intermediateSize));
    }
    return found;
  },
};
