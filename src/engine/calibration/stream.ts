import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfCancelled } from '../../protocol/errors.ts';
import { float32, type HostTensor, zeros } from '../../protocol/tensor.ts';
import type { Reals, Tensors } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import type { BatchShape } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';
import { type ActivationStore, openActivationStore } from './activation-store.ts';
import { rowWidth, STAGE, STAGES, type Stage, type StageName, type StageOutput } from './stages.ts';
import { concatenate } from './tokens.ts';

/** Sequences that pass through a stage at once. */
export interface Part {
  readonly ids: Int32Array;
  readonly shape: BatchShape;
}

/** Sees the rows [tokens, n] of each part; the tensor is valid during the call. */
export type SeeRows = (rows: HostTensor<Float32Array>) => Promise<void>;

/**
 * The calibration text on its way through the network, one stage of one layer at a time: what a layer reads was made
 * with rounded weights throughout.
 */
export class CalibrationStream {
  readonly #cache: ProgramCache;
  readonly #network: Network;
  readonly #parts: readonly Part[];
  readonly #residual: ActivationStore;
  readonly #mixed: ActivationStore;
  /** Outputs of a stage are written to the same memory again, by their name and size. */
  readonly #buffers = new Map<string, HostTensor<Float32Array>>();

  private constructor(
    cache: ProgramCache,
    network: Network,
    parts: readonly Part[],
    stores: readonly [ActivationStore, ActivationStore],
  ) {
    this.#cache = cache;
    this.#network = network;
    this.#parts = parts;
    [this.#residual, this.#mixed] = stores;
  }

  /** @param folder for scratch files, where the memory that the network may hold does not suffice. */
  static async open(
    cache: ProgramCache,
    network: Network,
    blocks: readonly Int32Array[],
    folder: string,
  ): Promise<CalibrationStream> {
    const { config } = network.checkpoint;
    const parts = cutParts(blocks, network.memory.tokensAtOnce);
    const store = async (width: number, name: string): Promise<ActivationStore> => {
      const sizes = parts.map(({ ids }) => ids.length * width);
      const path = join(folder, `.${name}.tmp`);
      await rm(path, { force: true });
      return openActivationStore(sizes, network.memory.groupBytes / 2, async () => path);
    };
    const residual = await store(config.hiddenSize, 'residual');
    return new CalibrationStream(cache, network, parts, [
      residual,
      await store(rowWidth('output', config), 'mixed'),
    ]);
  }

  /** Puts the text before the first layer. */
  async embed(signal?: AbortSignal): Promise<void> {
    for (const [index, { ids }] of this.#parts.entries()) {
      throwIfCancelled(signal);
      await this.#residual.write(index, (await this.#network.embed(ids, signal)).data);
    }
  }

  /**
   * Takes the whole text through a stage of a layer.
   * @param weights rounded ones of the layer, by program input name, as far as the stage reads them.
   * @returns yields the share that is done.
   */
  async *pass(
    name: StageName,
    layer: number,
    weights: Tensors,
    see: SeeRows | null,
    signal?: AbortSignal,
  ): AsyncGenerator<number, void> {
    const stage: Stage = STAGES[name];
    for (const [index, part] of this.#parts.entries()) {
      throwIfCancelled(signal);
      const { shape, types, tensors } = this.#network.layerContext(layer, part.shape);
      const program = await this.#cache.get(STAGE, { stage: name, shape, types });
      const inputs = {
        ...tensors,
        ...this.#network.maps(layer),
        ...weights,
        ...(await this.#reads(stage, index, part.ids.length)),
      };
      const out = await program.run(inputs, signal, this.#outputs(name, part.ids.length));
      if (see && out.rows) await see(out.rows);
      const residual = stage.newResidual && out[stage.newResidual];
      if (residual) await this.#residual.write(index, residual.data);
      const mixed = stage.keepsMixed && (out.mixed ?? out.rows);
      if (mixed) await this.#mixed.write(index, mixed.data);
      yield (index + 1) / this.#parts.length;
    }
  }

  async #reads({ residual, readsMixed }: Stage, index: number, tokens: number): Promise<Tensors> {
    const { config } = this.#network.checkpoint;
    const x = float32([tokens, config.hiddenSize], await this.#residual.read(index));
    if (!readsMixed) return { [residual]: x };
    return {
      [residual]: x,
      mixed: float32([tokens, rowWidth('output', config)], await this.#mixed.read(index)),
    };
  }

  #outputs(name: StageName, tokens: number): { [Name in StageOutput]?: Reals } {
    const { config } = this.#network.checkpoint;
    const { newResidual, keepsMixed } = STAGES[name];
    const isMapped = this.#network.options.maps['across-heads'] !== undefined;
    const widths: [string, number][] = [
      ...(name === 'end' ? [] : [['rows', rowWidth(name, config)] satisfies [string, number]]),
      ...(keepsMixed && isMapped ? [['mixed', rowWidth('output', config)] satisfies [string, number]] : []),
      ...(newResidual ? [[newResidual, config.hiddenSize] satisfies [string, number]] : []),
    ];
    return Object.fromEntries(widths.map(([output, width]) => [output, this.#buffer(output, tokens, width)]));
  }

  #buffer(output: string, tokens: number, width: number): HostTensor<Float32Array> {
    const key = `${output} ${tokens} ${width}`;
    const known = this.#buffers.get(key);
    if (known) return known;
    const buffer = zeros('float32', [tokens, width]) as HostTensor<Float32Array>;
    this.#buffers.set(key, buffer);
    return buffer;
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#residual.close(), this.#mixed.close()]);
  }
}

export function cutParts(blocks: readonly Int32Array[], tokensAtOnce: number): Part[] {
  const sequence = blocks[0]!.length;
  const batch = Math.max(1, Math.floor(tokensAtOnce / sequence));
  const parts: Part[] = [];
  for (let start = 0; start < blocks.length; start += batch) {
    const some = blocks.slice(start, start + batch);
    parts.push({ ids: concatenate(some), shape: { batch: some.length, sequence } });
  }
  return parts;
}
