import { zeros } from '../../protocol/tensor.ts';
import { LargeMemory, roomOf } from '../runtime/large-memory.ts';
import { cacheBytes } from './cache-form.ts';
import { LayerCache, type MakeZeros } from './layer-cache.ts';
import type { Network } from './network.ts';

/** From so many bytes on, caches lie in one piece of memory: a few of the system's large pages. */
const LARGE_BYTES = 2 ** 23;

type CachedNetwork = Pick<Network, 'checkpoint' | 'layers' | 'options' | 'quantizers'>;

/** Caches for keys and values of all layers. @param capacity tokens that a sequence may have. */
export function layerCaches(network: CachedNetwork, batch: number, capacity: number): LayerCache[] {
  const { config } = network.checkpoint;
  // Each layer has four tensors at most, each with less than a line beside its bytes.
  const bytes = batch * cacheBytes(config, capacity, network.options) + 4 * roomOf(1) * network.layers;
  const make = bytes < LARGE_BYTES ? zeros : inOnePiece(bytes);
  return Array.from(
    { length: network.layers },
    (_, layer) => new LayerCache(config, network.quantizers(layer), batch, capacity, make),
  );
}

function inOnePiece(bytes: number): MakeZeros {
  const memory = new LargeMemory(bytes);
  return (dtype, dims) => memory.zeros(dtype, dims);
}
