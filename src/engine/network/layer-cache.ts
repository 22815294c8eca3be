import { int64, zeros } from '../../protocol/tensor.ts';
import type { Reals, Tensors } from '../graph/program.ts';
import type { ModelConfig } from '../model/config.ts';

/** Bytes of keys and values of so many tokens in all layers. */
export function cacheBytes({ layers, kvHeads, headDim }: ModelConfig, tokens: number): number {
  return 2 * layers * kvHeads * headDim * tokens * Float32Array.BYTES_PER_ELEMENT;
}

/**
 * Keys and values [B, G, C, h] of a layer's tokens so far, in the channels that the deployed cache has. Memory for all
 * C tokens is there from the start: tokens are written in place, and programs read the part that is there.
 */
export class LayerCache {
  readonly batch: number;
  readonly capacity: number;
  readonly #config: ModelConfig;
  readonly #keys: Reals;
  readonly #values: Reals;
  #length = 0;

  /** @param capacity tokens that a sequence may have. */
  constructor(config: ModelConfig, batch: number, capacity: number) {
    this.batch = batch;
    this.capacity = capacity;
    this.#config = config;
    const dims = [batch, config.kvHeads, capacity, config.headDim];
    this.#keys = zeros('float32', dims) as Reals;
    this.#values = zeros('float32', dims) as Reals;
  }

  /** Tokens of each sequence so far. */
  get length(): number {
    return this.#length;
  }

  /** By program input name. */
  get inputs(): Tensors {
    const length = int64([1], BigInt64Array.of(BigInt(this.#length)));
    return { pastKeys: this.#keys, pastValues: this.#values, length };
  }

  /** Forgets all tokens. */
  clear(): void {
    this.#length = 0;
  }

  /** Adds keys and values [B, G, n, h] of the next n tokens. */
  append(keys: Reals, values: Reals): void {
    const tokens = keys.dims[2] ?? 0;
    if (this.#length + tokens > this.capacity)
      throw new Error(`a cache for ${this.capacity} tokens has ${this.#length} and takes no ${tokens} more`);
    this.#put(this.#keys, keys.data, tokens);
    this.#put(this.#values, values.data, tokens);
    this.#length += tokens;
  }

  /** A head's tokens lie one after the other, with room for C of them. */
  #put({ data }: Reals, rows: Float32Array, tokens: number): void {
    const { kvHeads, headDim } = this.#config;
    const [added, room, start] = [tokens * headDim, this.capacity * headDim, this.#length * headDim];
    // One token of a head is few numbers, for which views of arrays would take longer than the copy.
    for (let head = 0; head < this.batch * kvHeads; head++)
      for (let i = 0; i < added; i++) data[head * room + start + i] = rows[head * added + i]!;
  }
}
