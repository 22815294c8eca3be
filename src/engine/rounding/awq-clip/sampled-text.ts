import { join } from 'node:path';
import { throwIfCancelled } from '../../../protocol/errors.ts';
import { recordOf } from '../../../protocol/records.ts';
import { float32, int64 } from '../../../protocol/tensor.ts';
import { type ActivationStore, openActivationStore } from '../../calibration/activation-store.ts';
import { cutParts, type Part } from '../../calibration/stream.ts';
import type { Tensors } from '../../graph/program.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { PREPARE } from '../../network/layer-programs.ts';
import { FULL_PRECISION } from '../../network/layer-shape.ts';
import type { Network } from '../../network/network.ts';
import { READINGS, SAMPLE } from './programs.ts';
import type { SampledRows } from './weight-clipper.ts';

/** The calibration text before a layer of the mapped network, at full precision, of which some tokens are looked at. */
export class SampledText {
  readonly #cache: ProgramCache;
  readonly #network: Network;
  readonly #parts: readonly Part[];
  readonly #residual: ActivationStore;
  /** Sampled tokens of each part, by their place in it. */
  readonly #picked: readonly (readonly number[])[];

  private constructor(
    cache: ProgramCache,
    network: Network,
    parts: readonly Part[],
    residual: ActivationStore,
    tokens: number,
  ) {
    this.#cache = cache;
    this.#network = network;
    this.#parts = parts;
    this.#residual = residual;
    this.#picked = pickTokens(
      parts.map(({ ids }) => ids.length),
      tokens,
    );
  }

  /** @param tokens looked at, at even distances. @param folder for scratch files. */
  static async open(
    cache: ProgramCache,
    network: Network,
    blocks: readonly Int32Array[],
    { tokens, folder }: { readonly tokens: number; readonly folder: string },
  ): Promise<SampledText> {
    const parts = cutParts(blocks, network.memory.tokensAtOnce);
    const sizes = parts.map(({ ids }) => ids.length * network.checkpoint.config.hiddenSize);
    const path = async () => join(folder, '.residual.tmp');
    const residual = await openActivationStore(sizes, network.memory.groupBytes, path);
    return new SampledText(cache, network, parts, residual, tokens);
  }

  /** Puts the text before the first layer. */
  async embed(signal?: AbortSignal): Promise<void> {
    for (const [index, { ids }] of this.#parts.entries()) {
      throwIfCancelled(signal);
      await this.#residual.write(index, (await this.#network.embed(ids, signal)).data);
    }
  }

  /** Takes the text through a layer. @returns yields the share that is done; what was seen in the end. */
  async *pass(layer: number, signal?: AbortSignal): AsyncGenerator<number, SampledRows> {
    const weights = await this.#exactWeights(layer, signal);
    const found = recordOf(READINGS, (): Float32Array[] => []);
    const { hiddenSize } = this.#network.checkpoint.config;
    for (const [index, part] of this.#parts.entries()) {
      throwIfCancelled(signal);
      const picked = this.#picked[index]!;
      const { shape, types, tensors } = this.#network.layerContext(layer, part.shape);
      const exact = { ...shape, weightForm: 'numbers' as const, quantizers: FULL_PRECISION };
      const program = await this.#cache.get(SAMPLE, { shape: exact, types, count: picked.length });
      const x = float32([part.ids.length, hiddenSize], await this.#residual.read(index));
      const indices = int64([picked.length], BigInt64Array.from(picked, BigInt));
      const maps = this.#network.maps(layer);
      const out = await program.run({ ...tensors, ...maps, ...weights, x, picked: indices }, signal);
      await this.#residual.write(index, out.y.data);
      for (const name of READINGS) if (out[name]) found[name].push(out[name].data);
      yield (index + 1) / this.#parts.length;
    }
    const count = this.#picked.reduce((sum, some) => sum + some.length, 0);
    return recordOf(READINGS, (name) => joined(found[name], count));
  }

  async close(): Promise<void> {
    await this.#residual.close();
  }

  /** Lᵀ W A of the seven weights, not rounded, by program input name. */
  async #exactWeights(layer: number, signal?: AbortSignal): Promise<Tensors> {
    const { shape, types, tensors } = this.#network.layerContext(layer, { batch: 1, sequence: 1 });
    const { config, maps, precision } = shape;
    const exact = { config, maps, quantizers: FULL_PRECISION, weightForm: 'numbers' as const, precision };
    const program = await this.#cache.get(PREPARE, { shape: exact, types, ratios: 'inside' });
    return program.run({ ...tensors, ...this.#network.maps(layer) }, signal);
  }
}

/** Places of `wanted` tokens at even distances, in each of the parts of these lengths. */
export function pickTokens(lengths: readonly number[], wanted: number): number[][] {
  const all = lengths.reduce((sum, length) => sum + length, 0);
  const count = Math.min(wanted, all);
  const picked = Array.from({ length: count }, (_, index) => Math.floor((index * all) / count));
  let start = 0;
  return lengths.map((length) => {
    const own = picked
      .filter((token) => token >= start && token < start + length)
      .map((token) => token - start);
    start += length;
    return own;
  });
}

function joined(parts: readonly Float32Array[], count: number) {
  const width = parts.reduce((sum, { length }) => sum + length, 0) / count;
  const all = new Float32Array(count * width);
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return float32([count, width], all);
}
