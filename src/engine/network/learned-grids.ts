import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { toFloat32 } from '../../formats/tensor-io.ts';
import { LINEARS, type Linear, SEAM_NAMES, type SeamName } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import { partialOf, recordOf } from '../../protocol/records.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import type { SeamState } from './seams.ts';

/** What the ends of a weight's grids are multiplied by, [out, groups] each. */
export interface ClipFactors {
  readonly upper: Float32Array;
  readonly lower: Float32Array;
}

/** What was learned for a layer: factors of its channels by seam, and of the ends of its weights' grids. */
export interface LearnedLayer {
  readonly maps: Readonly<Partial<Record<SeamName, Float32Array>>>;
  readonly clips: Readonly<Record<Linear, ClipFactors>>;
}

/** What was learned for all layers. */
export interface LearnedGrids {
  readonly state: SeamState;
  readonly clips: readonly LearnedLayer['clips'][];
}

/** The sizes that a layer's numbers must have; others are not read. */
export interface LearnedSizes {
  /** Factors of each seam that has some. */
  readonly maps: Readonly<Partial<Record<SeamName, number>>>;
  /** Factors of each end, by linear layer. */
  readonly clips: Readonly<Record<Linear, number>>;
}

/** Layers as one whole. @param layers in their order, each with the same seams. */
export function gridsOf(layers: readonly LearnedLayer[]): LearnedGrids {
  const state = partialOf(SEAM_NAMES, (seam) => {
    const numbers = layers.flatMap(({ maps }) => maps[seam] ?? []);
    return numbers.length > 0 ? numbers : null;
  });
  return { state, clips: layers.map(({ clips }) => clips) };
}

/**
 * Learned layers in a folder, a safetensors file for each, written whole or not at all: `q.upper` and `q.lower` float32
 * of every linear layer, and the factors of channels by the names of their seams.
 */
export class LearnedLayers {
  readonly folder: string;
  readonly #key: string;
  readonly #sizes: LearnedSizes;
  readonly #check: () => void;

  /** @param key of all that decides the numbers: files with another one are not read. @param check see RoundedLayers. */
  constructor(folder: string, key: string, sizes: LearnedSizes, check: () => void = () => undefined) {
    this.folder = folder;
    this.#key = key;
    this.#sizes = sizes;
    this.#check = check;
  }

  /** Null where a layer was not learned, or under another key, or where its file is damaged: it is learned again. */
  read(layer: number): LearnedLayer | null {
    const path = this.#path(layer);
    if (!existsSync(path)) return null;
    try {
      const { tensors, metadata } = readSafetensorsHeader(path);
      if (metadata.key !== this.#key) return null;
      let isSound = true;
      const numbers = (name: string, size: number): Float32Array => {
        const tensor = tensors.get(name);
        const values = tensor?.dtype === 'float32' ? toFloat32(tensor) : new Float32Array();
        isSound &&= values.length === size && values.every(Number.isFinite);
        return values;
      };
      const { maps, clips } = this.#sizes;
      const learned = {
        maps: partialOf(SEAM_NAMES, (seam) => (maps[seam] ? numbers(seam, maps[seam]) : null)),
        clips: recordOf(LINEARS, (linear) => ({
          upper: numbers(`${linear}.upper`, clips[linear]),
          lower: numbers(`${linear}.lower`, clips[linear]),
        })),
      };
      return isSound ? learned : null;
    } catch (error) {
      if (error instanceof UserError) return null;
      throw error;
    }
  }

  /** All layers of a network; null where one is missing. */
  readAll(count: number): LearnedLayer[] | null {
    const layers = Array.from({ length: count }, (_, layer) => this.read(layer));
    return layers.every((layer) => layer !== null) ? layers : null;
  }

  async write(layer: number, { maps, clips }: LearnedLayer): Promise<void> {
    const flat = (values: Float32Array): HostTensor => float32([values.length], values);
    const tensors = [
      ...LINEARS.flatMap((linear): [string, HostTensor][] => [
        [`${linear}.upper`, flat(clips[linear].upper)],
        [`${linear}.lower`, flat(clips[linear].lower)],
      ]),
      ...Object.entries(maps).map(([seam, values]): [string, HostTensor] => [seam, flat(values)]),
    ];
    this.#check();
    await writeSafetensors(this.#path(layer), Object.fromEntries(tensors), { key: this.#key });
  }

  #path(layer: number): string {
    return join(this.folder, `layer-${String(layer).padStart(4, '0')}.safetensors`);
  }
}
