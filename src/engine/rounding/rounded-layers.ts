import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { readTensor } from '../../formats/tensor-io.ts';
import { LINEARS } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import { recordOf } from '../../protocol/records.ts';
import { float32, type HostTensor } from '../../protocol/tensor.ts';
import { presentRounding, type RoundingRecord } from '../../runs/index.ts';
import type { RoundedLayer, RoundedMatrix, RoundedSource } from '../network/rounded-weights.ts';

/** A damaged file has no metadata: it is made again. */
function metadataOf(path: string): Readonly<Record<string, string>> {
  try {
    return readSafetensorsHeader(path).metadata;
  } catch (error) {
    if (error instanceof UserError) return {};
    throw error;
  }
}

/**
 * Rounded weights in a folder, a safetensors file for each layer, written whole or not at all: `q.codes` int8
 * [out, in], `q.scale` and `q.zero` float32 [out, groups] of Ŵ = s (c − z), and so on for the seven linear layers.
 */
export class RoundedLayers implements RoundedSource {
  readonly folder: string;
  /** The key of all that decides the weights. */
  readonly key: string;
  readonly #oldKey: string | null;
  readonly #check: () => void;

  /**
   * @param key of all that decides the weights: files with another one are not read.
   * @param oldKey the same in the form of versions before this one, whose files are read too.
   * @param check throws where a layer may have been computed from something other than the key says.
   */
  constructor(folder: string, key: string, oldKey: string | null = null, check: () => void = () => {}) {
    this.folder = folder;
    this.key = key;
    this.#oldKey = oldKey;
    this.#check = check;
  }

  /** The record of a layer; null where it has not been rounded, or with another key. */
  record(layer: number): RoundingRecord | null {
    const path = this.#path(layer);
    if (!existsSync(path)) return null;
    const { key, record } = metadataOf(path);
    const isOurs = key !== undefined && (key === this.key || key === this.#oldKey);
    return isOurs && record !== undefined ? presentRounding(JSON.parse(record)) : null;
  }

  isComplete(layers: number): boolean {
    return Array.from({ length: layers }, (_, layer) => layer).every((layer) => this.record(layer) !== null);
  }

  read(layer: number): RoundedLayer {
    const path = this.#path(layer);
    const { tensors } = readSafetensorsHeader(path);
    const get = (name: string): HostTensor => {
      const tensor = tensors.get(name);
      if (tensor) return readTensor(tensor);
      throw new UserError('runs/damaged', `${path} holds no ${name}.`, 'Delete the file: it is made again.');
    };
    return recordOf(LINEARS, (linear): RoundedMatrix => {
      const codes = get(`${linear}.codes`);
      const [rows, columns] = codes.dims as [number, number];
      const scale = get(`${linear}.scale`).data as Float32Array;
      const zero = get(`${linear}.zero`).data as Float32Array;
      return { rows, columns, codes: codes.data as Int8Array, scale, zero };
    });
  }

  async write(layer: number, weights: RoundedLayer, record: RoundingRecord): Promise<void> {
    this.#check();
    const tensors = LINEARS.flatMap((linear): [string, HostTensor][] => {
      const { rows, columns, codes, scale, zero } = weights[linear];
      const grid = [rows, scale.length / rows];
      return [
        [`${linear}.codes`, { kind: 'host', dtype: 'int8', dims: [rows, columns], data: codes }],
        [`${linear}.scale`, float32(grid, scale)],
        [`${linear}.zero`, float32(grid, zero)],
      ];
    });
    const metadata = { key: this.key, record: JSON.stringify(record) };
    await writeSafetensors(this.#path(layer), Object.fromEntries(tensors), metadata);
  }

  #path(layer: number): string {
    return join(this.folder, `layer-${String(layer).padStart(4, '0')}.safetensors`);
  }
}
