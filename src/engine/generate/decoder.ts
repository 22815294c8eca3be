import { float32, type HostTensor } from '../../protocol/tensor.ts';
import type { Reals } from '../graph/program.ts';
import type { LayerCache } from '../network/layer-cache.ts';
import { layerCaches } from '../network/layer-caches.ts';
import type { Network } from '../network/network.ts';
import type { TokenPass } from '../network/token-pass.ts';

/** Reads the tokens of some sequences as they come, all equally long, and knows those before. */
export interface TokenReader {
  /** Tokens of each sequence so far. */
  readonly length: number;
  /** Forgets all tokens. */
  rewind(): void;
  /**
   * @param ids the next tokens of each sequence [B·n], sequence after sequence.
   * @returns logits [B, V] of the token after them.
   */
  next(ids: Int32Array, signal?: AbortSignal): Promise<HostTensor<Float32Array>>;
  /** ln Σ exp of the logits that the first sequence got last, where the network tells it: in JavaScript that takes long. */
  readonly partition?: number | null;
}

/** One that goes back and forth in one text. */
export interface SeekingReader extends TokenReader {
  /** Takes the first `length` tokens for all that there are: behind them the same ones as before must be read. */
  seek(length: number): void;
}

/** A network that has readers of its own. */
interface ReaderSource {
  reader(batch: number, capacity: number): TokenReader;
}

/** A network that writes text. */
export type WritingNetwork = Network | ReaderSource;

/** @param capacity tokens that a sequence may have. */
export function readerOf(network: WritingNetwork, batch: number, capacity: number): TokenReader {
  return 'reader' in network ? network.reader(batch, capacity) : new Decoder(network, batch, capacity);
}

/**
 * A network that reads the tokens of some sequences as they come, with keys and values of those before kept. All
 * sequences are equally long. Rotary tables that depend on the length of a text are those of a text of full length.
 */
export class Decoder implements SeekingReader {
  readonly #network: Network;
  readonly #batch: number;
  readonly #capacity: number;
  readonly #caches: readonly LayerCache[];
  /** Null where there is none; absent until a single token comes. */
  #pass: TokenPass | null | undefined;
  #partition: number | null = null;

  /** @param capacity tokens that a sequence may have. */
  constructor(network: Network, batch: number, capacity: number) {
    this.#network = network;
    this.#batch = batch;
    this.#capacity = capacity;
    this.#caches = layerCaches(network, batch, capacity);
  }

  /** Tokens of each sequence so far. */
  get length(): number {
    return this.#caches[0]?.length ?? 0;
  }

  get partition(): number | null {
    return this.#partition;
  }

  /** Forgets all tokens. The memory of the cache stays. */
  rewind(): void {
    this.seek(0);
  }

  seek(length: number): void {
    for (const cache of this.#caches) cache.seek(length);
  }

  /**
   * @param ids the next tokens of each sequence [B·n], sequence after sequence.
   * @returns logits [B, V] of the token after them, in memory that the next call may write.
   */
  async next(ids: Int32Array, signal?: AbortSignal): Promise<HostTensor<Float32Array>> {
    const n = ids.length / this.#batch;
    if (!Number.isInteger(n) || this.length + n > this.#capacity)
      throw new Error(
        `${ids.length} tokens for ${this.#batch} sequences of ${this.length} to ${this.#capacity}`,
      );
    if (n === 1) {
      if (this.#pass === undefined) this.#pass = await this.#network.tokenPass(this.#caches, signal);
      if (this.#pass) {
        const logits = await this.#pass.next(ids, signal);
        this.#partition = this.#pass.partition;
        return logits;
      }
    }
    this.#partition = null;
    let x = await this.#network.embed(ids, signal);
    for (const [layer, cache] of this.#caches.entries())
      x = await this.#network.extend(layer, x, { n, cache }, signal);
    return this.#network.logits(lastRows(x, this.#batch), signal);
  }
}

/** The last of the rows [B·n, d] of each sequence. */
function lastRows(x: Reals, batch: number): Reals {
  const [rows = 0, width = 0] = x.dims;
  if (rows === batch) return x;
  const last = float32([batch, width], new Float32Array(batch * width));
  for (let sequence = 0; sequence < batch; sequence++) {
    const end = ((sequence + 1) * rows * width) / batch;
    last.data.set(x.data.subarray(end - width, end), sequence * width);
  }
  return last;
}
