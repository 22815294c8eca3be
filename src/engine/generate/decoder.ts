import { float32, type HostTensor, type Tensor, zeros } from '../../protocol/tensor.ts';
import type { Reals } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import { type RopeTables, ropeTables } from '../model/rope.ts';
import type { Network } from '../network/network.ts';
import { DECODE, MASKED } from './decode-layer.ts';

/** Keys [B, G, h, C] and values [B, G, C, h] of a layer's tokens so far. */
interface LayerCache {
  readonly keys: Reals;
  readonly values: Reals;
}

/** The full-precision network, one token of each sequence at a time. All sequences are equally long. */
export class Decoder {
  readonly #cache: ProgramCache;
  readonly #network: Network;
  readonly #batch: number;
  readonly #capacity: number;
  readonly #tables: RopeTables;
  readonly #layers: readonly LayerCache[];
  #position = 0;

  /** @param capacity tokens that a sequence may have. */
  constructor(cache: ProgramCache, network: Network, batch: number, capacity: number) {
    this.#cache = cache;
    this.#network = network;
    this.#batch = batch;
    this.#capacity = capacity;
    const { config } = network.checkpoint;
    this.#tables = ropeTables(config, capacity);
    const { kvHeads, headDim } = config;
    const cached = (...dims: number[]) => zeros('float32', [batch, kvHeads, ...dims]) as Reals;
    this.#layers = Array.from({ length: network.layers }, () => ({
      keys: cached(headDim, capacity),
      values: cached(capacity, headDim),
    }));
  }

  /** @param ids the next token of each sequence [B]. @returns logits [B, V] of the tokens after them. */
  async next(ids: Int32Array, signal?: AbortSignal): Promise<HostTensor<Float32Array>> {
    let x = await this.#network.embed(ids, signal);
    for (const [layer, cached] of this.#layers.entries()) x = await this.#layer(layer, cached, x, signal);
    this.#position++;
    return this.#network.logits(x, signal);
  }

  async #layer(layer: number, cached: LayerCache, x: Reals, signal?: AbortSignal): Promise<Reals> {
    const { config } = this.#network.checkpoint;
    const { types, tensors } = this.#network.layerContext(layer, { batch: this.#batch, sequence: 1 });
    const spec = { config, types, batch: this.#batch, capacity: this.#capacity };
    const inputs = { ...tensors, ...this.#angles(), ...cached, mask: this.#mask(layer), x };
    const { y, key, value } = await (await this.#cache.get(DECODE, spec)).run(inputs, signal);
    this.#keep(cached, key.data, value.data);
    return y;
  }

  #angles(): { cos: Tensor; sin: Tensor } {
    const half = this.#network.checkpoint.config.headDim / 2;
    const row = (table: Float32Array) =>
      float32([1, half], table.slice(this.#position * half, (this.#position + 1) * half));
    return { cos: row(this.#tables.cos), sin: row(this.#tables.sin) };
  }

  /** 0 for the tokens that the next one sees, which a sliding window limits. */
  #mask(layer: number): Tensor {
    const window = this.#network.checkpoint.config.layerWindows[layer] ?? Number.POSITIVE_INFINITY;
    const position = this.#position;
    const mask = Float32Array.from({ length: this.#capacity }, (_, key) =>
      key < position && key > position - window ? 0 : MASKED,
    );
    return float32([this.#capacity], mask);
  }

  /** Puts keys and values [B, G, 1, h] at the present position. */
  #keep({ keys, values }: LayerCache, key: Float32Array, value: Float32Array): void {
    const [capacity, position] = [this.#capacity, this.#position];
    const width = this.#network.checkpoint.config.headDim;
    // A head's keys and values have room for C·h numbers each, side by side for all heads.
    for (let i = 0; i < key.length; i++) {
      const channel = i % width;
      const room = (i - channel) * capacity;
      keys.data[room + channel * capacity + position] = key[i]!;
      values.data[room + position * width + channel] = value[i]!;
    }
  }
}
