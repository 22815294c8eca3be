/** Packed weights that outlast the process: they are mapped as products read them, instead of packed again. */
import type { DType } from '../../protocol/tensor.ts';
import type { HostTensors, Tensors } from '../graph/program.ts';

/** A tensor that programs take. */
export interface PanelType {
  readonly name: string;
  readonly dtype: DType;
  readonly dims: readonly number[];
}

/** Where packed weights are kept, for one network with its maps. */
export interface PanelStore {
  /** @returns tensors of these types, in their files; null where they are not there as they were written. */
  read(part: string, types: readonly PanelType[]): Promise<Tensors | null>;
  /** @returns false where the disk takes no more: that is no fault. */
  write(part: string, tensors: HostTensors): Promise<boolean>;
}

/** The names of the parts of a network that are kept. */
export const PANEL_PARTS = {
  layer: (index: number): string => `layer-${String(index).padStart(4, '0')}`,
  head: 'head-8',
} as const;

/** Tensors of a network's parts: of the store, or made once and put there. */
export class KeptPanels {
  readonly #store: PanelStore;
  readonly #held = new Map<string, Tensors>();

  constructor(store: PanelStore) {
    this.#store = store;
  }

  /** @param make what is not kept. @param drop frees what was made, where its file takes its place. */
  async of(
    part: string,
    types: readonly PanelType[],
    make: () => Promise<Tensors>,
    drop: () => void,
  ): Promise<Tensors> {
    const held = this.#held.get(part) ?? (await this.#store.read(part, types));
    if (held) {
      this.#held.set(part, held);
      return held;
    }
    const made = await make();
    // A tensor that was just made is in memory: only kept panels are in files.
    if (!(await this.#store.write(part, made as HostTensors))) return made;
    const kept = await this.#store.read(part, types);
    if (kept === null) return made;
    this.#held.set(part, kept);
    drop();
    return kept;
  }
}
