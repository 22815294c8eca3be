import { prefill } from '../generate/continue-text.ts';
import { Decoder } from '../generate/decoder.ts';
import type { Network } from '../network/network.ts';
import type { TokenReader } from './contender.ts';

/** A network of ours, as it reads when it writes text. */
export class NetworkReader implements TokenReader {
  readonly #decoder: Decoder;

  /** @param capacity tokens of the longest text. */
  constructor(network: Network, capacity: number) {
    this.#decoder = new Decoder(network, 1, capacity);
  }

  get length(): number {
    return this.#decoder.length;
  }

  rewind(): void {
    this.#decoder.rewind();
  }

  async read(ids: Int32Array, signal?: AbortSignal): Promise<void> {
    await prefill(this.#decoder, ids, signal);
  }
}
