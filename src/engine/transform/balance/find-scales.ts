import type { ProgramCache } from '../../graph/program-cache.ts';
import type { ModelConfig } from '../../model/config.ts';
import type { Network } from '../../network/network.ts';
import {
  addWork,
  layerForward,
  passesOver,
  type TextSize,
  timesWork,
  tokensOf,
  type Work,
} from '../../network/work.ts';
import { balancedScales } from './balanced-scales.ts';
import { activationShares, type BalancedSeam, readerSquares } from './channel-sizes.ts';

/**
 * Balanced scales of each layer: [G·h] of values, each head's with the geometric mean 1, and [f] of products.
 * @param network the plain network.
 */
export async function findBalanced(
  cache: ProgramCache,
  network: Network,
  blocks: readonly Int32Array[],
  signal?: AbortSignal,
): Promise<Record<BalancedSeam, Float32Array[]>> {
  const { headDim, intermediateSize } = network.checkpoint.config;
  const found: Record<BalancedSeam, Float32Array[]> = { 'value-scale': [], 'up-scale': [] };
  for (const [layer, shares] of (await activationShares(cache, network, blocks, signal)).entries()) {
    const readers = await readerSquares(cache, network, layer, signal);
    const scales = (seam: BalancedSeam, width: number) => balancedScales(shares[seam], readers[seam], width);
    found['value-scale'].push(scales('value-scale', headDim));
    found['up-scale'].push(scales('up-scale', intermediateSize));
  }
  return found;
}

/** One pass of the text, sequence by sequence, with a look at the channels. */
export function balancingWork(config: ModelConfig, text: TextSize): Work {
  const one = { sequences: 1, length: text.length };
  const seen = passesOver(tokensOf(one) * config.intermediateSize, 3);
  const pass = addWork(layerForward(config, one, false), seen);
  return timesWork(text.sequences * config.layers, pass);
}
