import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfCancelled } from '../../protocol/errors.ts';
import { float32, type HostTensor, zeros } from '../../protocol/tensor.ts';
import type { Reals, Tensors } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import { type BatchShape, quantizerAt } from '../network/layer-shape.ts';
import type { Network } from '../network/network.ts';
import { type ActivationStore, HeldParts, openActivationStore } from './activation-store.ts';
import {
  MAPS_OF_KEPT,
  rowWidth,
  STAGE,
  STAGES,
  type Stage,
  type StageName,
  type StageOutput,
} from './stages.ts';
import { concatenate } from './tokens.ts';

/** Sequences that pass through a stage at once. */
export interface Part {
  readonly ids: Int32Array;
  readonly shape: BatchShape;
}

/**
 * Sees the rows [tokens, n] of each part, and the residual [tokens, d] that the stage reads. Rows are valid until the next
 * part passes, the residual until the next one is read.
 */
export type SeeRows = (rows: Reals, residual: Reals) => Promise<void>;

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
  readonly #products: HeldParts;
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
    this.#products = new HeldParts(network.memory.productBytes);
  }

  /**
   * @param folder for scratch files, where the memory that the network may hold does not suffice.
   * @param prefix of their names.
   */
  static async open(
    cache: ProgramCache,
    network: Network,
    blocks: readonly Int32Array[],
    folder: string,
    prefix = '',
  ): Promise<CalibrationStream> {
    const { config } = network.checkpoint;
    const parts = cutParts(blocks, network.memory.tokensAtOnce);
    const store = async (width: number, name: string): Promise<ActivationStore> => {
      const sizes = parts.map(({ ids }) => ids.length * width);
      const path = join(folder, `.${prefix}${name}.tmp`);
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
      const tokens = part.ids.length;
      const product = this.#product(stage, index, tokens);
      const keeping = product !== null || (stage.keeps ?? stage.reads) !== 'product';
      const program = await this.#cache.get(STAGE, { stage: name, keeping, shape, types });
      const residualRows = await this.#residualOf(index, tokens);
      const inputs = {
        ...tensors,
        ...this.#network.maps(layer),
        ...weights,
        [stage.residual]: residualRows,
        ...(stage.reads === 'mixed' && { mixed: await this.#mixedOf(index, tokens) }),
        ...(stage.reads === 'product' && product && { product }),
      };
      const into = this.#outputs(name, layer, tokens, stage.keeps === 'product' ? product : null);
      const out = await program.run(inputs, signal, into);
      if (see && out.rows) await see(out.rows, residualRows);
      const residual = stage.newResidual && out[stage.newResidual];
      if (residual) await this.#residual.write(index, residual.data);
      const mixed = stage.keeps === 'mixed' && (out.mixed ?? out.rows);
      if (mixed) await this.#mixed.write(index, mixed.data);
      yield (index + 1) / this.#parts.length;
    }
  }

  /** The memory of a part's products that a stage fills or reads; null where it has none. */
  #product({ keeps, reads }: Stage, index: number, tokens: number): Reals | null {
    const { intermediateSize } = this.#network.checkpoint.config;
    const dims = [tokens, intermediateSize] as const;
    const room = keeps === 'product' ? this.#products.room(index, tokens * intermediateSize) : null;
    const data = reads === 'product' ? this.#products.take(index) : room;
    return data && float32(dims, data);
  }

  async #residualOf(index: number, tokens: number): Promise<Reals> {
    const { hiddenSize } = this.#network.checkpoint.config;
    return float32([tokens, hiddenSize], await this.#residual.read(index));
  }

  async #mixedOf(index: number, tokens: number): Promise<Reals> {
    const width = rowWidth('output', this.#network.checkpoint.config);
    return float32([tokens, width], await this.#mixed.read(index));
  }

  /** @param product where the products go, which are the rows themselves if nothing is between. */
  #outputs(
    name: StageName,
    layer: number,
    tokens: number,
    product: Reals | null,
  ): { [Name in StageOutput]?: Reals } {
    const { config } = this.#network.checkpoint;
    const { site, newResidual, keeps }: Stage = STAGES[name];
    const isMapped = keeps !== null && this.#network.options.maps[MAPS_OF_KEPT[keeps]] !== undefined;
    const isChanged =
      isMapped || (site !== null && quantizerAt(site, this.#network.quantizers(layer)) !== null);
    const widths: [string, number][] = [
      ...(name === 'end' ? [] : [['rows', rowWidth(name, config)] satisfies [string, number]]),
      ...(keeps === 'mixed' && isChanged
        ? [['mixed', rowWidth('output', config)] satisfies [string, number]]
        : []),
      ...(newResidual ? [[newResidual, config.hiddenSize] satisfies [string, number]] : []),
    ];
    const buffers = widths.map(([output, width]) => [output, this.#buffer(output, tokens, width)] as const);
    return { ...Object.fromEntries(buffers), ...(product && { [isChanged ? 'product' : 'rows']: product }) };
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
  const sequence = blocks[0]?.length ?? 1;
  const batch = Math.max(1, Math.floor(tokensAtOnce / sequence));
  const parts: Part[] = [];
  for (let start = 0; start < blocks.length; start += batch) {
    const some = blocks.slice(start, start + batch);
    parts.push({ ids: concatenate(some), shape: { batch: some.length, sequence } });
  }
  return parts;
}
