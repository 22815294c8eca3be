import { type DType, elementCount, type HostTensor, zeros } from '../../protocol/tensor.ts';
import { largeMemory } from '../runtime/large-memory.ts';
import { cacheBytes } from './cache-form.ts';
import { LayerCache } from './layer-cache.ts';
import type { Network } from './network.ts';

/** Tensors begin at multiples of a line of the processor's caches. */
const ALIGNMENT = 64;

/** From so many bytes on, caches lie in one piece of memory: a few of the system's large pages. */
const LARGE_BYTES = 2 ** 23;

const ELEMENTS = { int8: Int8Array, float32: Float32Array } as const;
const isStored = (dtype: DType): dtype is keyof typeof ELEMENTS => dtype in ELEMENTS;

/** Tensors one after the other in one piece of memory. */
class OnePiece {
  readonly #memory: ArrayBuffer;
  #used = 0;

  constructor(bytes: number) {
    this.#memory = largeMemory(bytes);
  }

  readonly zeros = (dtype: DType, dims: readonly number[]): HostTensor => {
    if (!isStored(dtype)) return zeros(dtype, dims);
    const [Elements, count] = [ELEMENTS[dtype], elementCount(dims)];
    const data = new Elements(this.#memory, this.#used, count);
    this.#used += Math.ceil(data.byteLength / ALIGNMENT) * ALIGNMENT;
    return { kind: 'host', dtype, dims, data };
  };
}

type CachedNetwork = Pick<Network, 'checkpoint' | 'layers' | 'options' | 'quantizers'>;

/** Caches for keys and values of all layers. @param capacity tokens that a sequence may have. */
export function layerCaches(network: CachedNetwork, batch: number, capacity: number): LayerCache[] {
  const { config } = network.checkpoint;
  // Each layer has four tensors at most.
  const bytes = batch * cacheBytes(config, capacity, network.options) + 4 * ALIGNMENT * network.layers;
  const make = bytes < LARGE_BYTES ? zeros : new OnePiece(bytes).zeros;
  return Array.from(
    { length: network.layers },
    (_, layer) => new LayerCache(config, network.quantizers(layer), batch, capacity, make),
  );
}
