import { elementCount, type HostTensor } from '../../protocol/tensor.ts';
import { loadAddon } from './addon.ts';

/** Tensors begin at multiples of a line of the processor's caches. */
const ALIGNMENT = 64;
const ELEMENTS = { int8: Int8Array, float16: Uint16Array, float32: Float32Array } as const;

/** What a tensor of so many bytes takes at most. */
export const roomOf = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/**
 * Tensors of zeros, one after the other in one piece of memory, for what is read again and again. Where the system has
 * large pages (2 MB instead of 4 KB), the processor then rarely has to look one up. All of a large page is there as soon
 * as some of it was written.
 */
export class LargeMemory {
  readonly #memory: ArrayBuffer;
  #used = 0;

  /** @param bytes the sum of {@link roomOf} all tensors, or more. */
  constructor(bytes: number) {
    this.#memory = new ArrayBuffer(bytes);
    loadAddon()?.useLargePages(new Uint8Array(this.#memory));
  }

  zeros(
    dtype: keyof typeof ELEMENTS,
    dims: readonly number[],
  ): HostTensor<InstanceType<(typeof ELEMENTS)[keyof typeof ELEMENTS]>> {
    const data = new ELEMENTS[dtype](this.#memory, this.#used, elementCount(dims));
    this.#used += roomOf(data.byteLength);
    return { kind: 'host', dtype, dims, data };
  }
}
