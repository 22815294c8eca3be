import { fileRows, tableParts } from '../../formats/tensor-io.ts';
import { type FileTensor, type HostTensor, zeros } from '../../protocol/tensor.ts';
import type { HostTensors, Tensors } from '../graph/program.ts';
import type { ProgramCache } from '../graph/program-cache.ts';
import { type EndsShape, PACK_HEAD } from './ends-programs.ts';
import { type KeptPanels, PANEL_PARTS } from './kept-panels.ts';
import { packedHeadBytes, packedHeadTypes } from './packed-head.ts';

/** The packed output layer of a network, made when it is needed and kept until the map of the residual changes. */
export class HeadWeights {
  readonly #cache: ProgramCache;
  readonly #lmHead: FileTensor;
  #made: Promise<Tensors> | null = null;
  #panels: KeptPanels | null = null;

  constructor(cache: ProgramCache, lmHead: FileTensor) {
    this.#cache = cache;
    this.#lmHead = lmHead;
  }

  get bytes(): number {
    const [rows = 0, width = 0] = this.#lmHead.dims;
    return packedHeadBytes(rows, width);
  }

  forget(): void {
    this.#made = null;
  }

  /** @param panels where it is kept beyond the process; null for nowhere. */
  keepIn(panels: KeptPanels | null): void {
    this.#panels = panels;
  }

  /** @param given what the ends read. @returns tensors by the names of {@link packedHeadTypes}. */
  async tensors(shape: EndsShape, given: Tensors, signal?: AbortSignal): Promise<Tensors> {
    const making = this.#made ?? this.#keptOrPacked(shape, given, signal);
    this.#made = making;
    try {
      return await making;
    } catch (error) {
      this.#made = null;
      throw error;
    }
  }

  #keptOrPacked(shape: EndsShape, given: Tensors, signal?: AbortSignal): Promise<Tensors> {
    const [rows = 0, width = 0] = this.#lmHead.dims;
    const pack = () => this.#pack(shape, given, signal);
    if (!this.#panels) return pack();
    return this.#panels.of(PANEL_PARTS.head, packedHeadTypes(rows, width), pack, () => undefined);
  }

  async #pack(shape: EndsShape, given: Tensors, signal?: AbortSignal): Promise<HostTensors> {
    const [rows = 0, width = 0] = this.#lmHead.dims;
    const all = packedHeadTypes(rows, width).map(
      ({ name, dtype, dims }) => [name, zeros(dtype, dims)] as const,
    );
    // Parts lie one behind the other: all but the last are whole panels.
    const ends = new Map<string, number>();
    for (const { first, count } of tableParts(rows)) {
      const program = await this.#cache.get(PACK_HEAD, { ...shape, tokens: count });
      const part = fileRows(this.#lmHead, first, count);
      const packed = await program.run({ ...given, rows: part }, signal);
      for (const [name, whole] of all) {
        const [bytes, place] = [bytesOf(packed[name]!), ends.get(name) ?? 0];
        bytesOf(whole).set(bytes, place);
        ends.set(name, place + bytes.length);
      }
    }
    return Object.fromEntries(all);
  }
}

const bytesOf = ({ data }: HostTensor): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
