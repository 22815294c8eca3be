import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfCancelled } from '../../../protocol/errors.ts';
import { float32 } from '../../../protocol/tensor.ts';
import { type ActivationStore, openActivationStore } from '../../calibration/activation-store.ts';
import { cutParts, type Part } from '../../calibration/stream.ts';
import type { Reals } from '../../graph/program.ts';
import type { Network } from '../../network/network.ts';

/** The calibration text between two halves of layers: its residual, and what the present half adds to it. */
export class TextInParts {
  readonly parts: readonly Part[];
  readonly tokens: number;
  readonly #network: Network;
  readonly #residual: ActivationStore;
  readonly #added: ActivationStore;

  private constructor(
    network: Network,
    parts: readonly Part[],
    [residual, added]: readonly [ActivationStore, ActivationStore],
  ) {
    this.#network = network;
    this.parts = parts;
    this.tokens = parts.reduce((sum, { ids }) => sum + ids.length, 0);
    this.#residual = residual;
    this.#added = added;
  }

  /** @param scratch folder for files, where the memory that the network may hold does not suffice. */
  static async open(
    network: Network,
    blocks: readonly Int32Array[],
    scratch: () => Promise<string>,
  ): Promise<TextInParts> {
    const parts = cutParts(blocks, network.memory.tokensAtOnce);
    const sizes = parts.map(({ ids }) => ids.length * network.checkpoint.config.hiddenSize);
    const store = (name: string): Promise<ActivationStore> =>
      openActivationStore(sizes, network.memory.groupBytes / 2, async () => {
        const folder = await scratch();
        await mkdir(folder, { recursive: true });
        return join(folder, `.${name}.tmp`);
      });
    return new TextInParts(network, parts, [await store('residual'), await store('added')]);
  }

  /** Puts the text before the first layer. */
  async embed(signal?: AbortSignal): Promise<void> {
    for (const [index, { ids }] of this.parts.entries()) {
      throwIfCancelled(signal);
      await this.#residual.write(index, (await this.#network.embed(ids, signal)).data);
    }
  }

  /** The residual [T, d] of a part, valid until the next is read. */
  async residual(index: number): Promise<Reals> {
    return this.#rows(index, await this.#residual.read(index));
  }

  /** What the present half adds to it [T, d]. */
  async added(index: number): Promise<Reals> {
    return this.#rows(index, await this.#added.read(index));
  }

  async add(index: number, rows: Reals): Promise<void> {
    await this.#added.write(index, rows.data);
  }

  /** Takes the text behind the present half. */
  async advance(): Promise<void> {
    for (const index of this.parts.keys()) {
      const added = await this.#added.read(index);
      const sum = (await this.#residual.read(index)).map((x, i) => x + added[i]!);
      await this.#residual.write(index, sum);
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#residual.close(), this.#added.close()]);
  }

  #rows(index: number, data: Float32Array): Reals {
    const tokens = this.parts[index]!.ids.length;
    return float32([tokens, this.#network.checkpoint.config.hiddenSize], data);
  }
}
