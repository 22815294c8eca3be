import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { readTensor, toFloat32 } from '../../formats/tensor-io.ts';
import { LINEARS, type Linear } from '../../protocol/block.ts';
import { UserError } from '../../protocol/errors.ts';
import { recordOf } from '../../protocol/records.ts';
import { type DType, type FileTensor, float32, type HostTensor } from '../../protocol/tensor.ts';
import { parseRounding, type RoundingRecord } from '../../runs/index.ts';
import type { DenseMatrix, RoundedLayer, RoundedMatrix, RoundedSource } from '../network/rounded-weights.ts';
import { bytesPerRow, columnsOf, damaged, FORMAT, readCodes, storedCodes, VERSION } from './stored-codes.ts';

/** Rows and columns of the seven weights of a layer. */
export type WeightSizes = Readonly<Record<Linear, readonly [rows: number, columns: number]>>;

export interface RoundedLayersOptions {
  /** The key in the form of versions before this one, whose files are read too. */
  readonly oldKey?: string | null;
  /** Files with weights of other sizes are not read. */
  readonly sizes?: WeightSizes;
  /** The digest of the text that the layers are rounded on, which their files tell. */
  readonly text?: string;
  /** Layers may hold dense matrices; else such a layer is not read. */
  readonly dense?: boolean;
  /** Called before every write; throws where the folder is another process's by now, or the model another one. */
  readonly check?: () => void;
}

/**
 * Rounded weights in a folder, a safetensors file for each layer, written whole or not at all: `q.codes` with two codes
 * in a byte, uint8 [out, ⌈in/2⌉], or int8 [out, in] where they take more than 4 bits; `q.scale` and `q.zero` float32
 * [out, groups] of Ŵ = s (c − z), and so on for the seven linear layers. Of a dense matrix there is `q.values` instead,
 * float32, float16 or bfloat16 [out, in].
 */
export class RoundedLayers implements RoundedSource {
  readonly folder: string;
  /** The key of all that decides the weights. */
  readonly key: string;
  readonly #options: RoundedLayersOptions;

  /** @param key of all that decides the weights: files with another one are not read. */
  constructor(folder: string, key: string, options: RoundedLayersOptions = {}) {
    this.folder = folder;
    this.key = key;
    this.#options = options;
  }

  /**
   * The record of a layer; null where it has not been rounded, or with another key, or where its file is damaged: such a
   * layer is made again.
   */
  record(layer: number): RoundingRecord | null {
    const path = this.#path(layer);
    if (!existsSync(path)) return null;
    try {
      const { tensors, metadata } = readSafetensorsHeader(path);
      const { key, record } = metadata;
      const isOurs = key !== undefined && (key === this.key || key === this.#options.oldKey);
      if (!isOurs || record === undefined) return null;
      const columns = columnsOf(path, metadata);
      const isSound = (linear: Linear): boolean => this.#isSound(tensors, linear, columns[linear]);
      return LINEARS.every(isSound) ? parseRounding(record) : null;
    } catch (error) {
      if (error instanceof UserError) return null;
      throw error;
    }
  }

  get isDense(): boolean {
    return this.#options.dense ?? false;
  }

  isComplete(layers: number): boolean {
    return Array.from({ length: layers }, (_, layer) => layer).every((layer) => this.record(layer) !== null);
  }

  /** @throws UserError `runs/damaged` where a file is not as it was written, `runs/newer` where its version is another. */
  read(layer: number): RoundedLayer {
    const path = this.#path(layer);
    const { tensors, metadata } = readSafetensorsHeader(path);
    const columns = columnsOf(path, metadata);
    const get = (name: string): HostTensor => {
      const tensor = tensors.get(name);
      if (tensor) return readTensor(tensor);
      throw damaged(path, `holds no ${name}`);
    };
    return recordOf(LINEARS, (linear): RoundedMatrix => {
      if (tensors.has(valuesName(linear))) return denseMatrix(get(valuesName(linear)));
      const scale = get(`${linear}.scale`).data as Float32Array;
      const zero = get(`${linear}.zero`).data as Float32Array;
      return { ...readCodes(path, linear, get(`${linear}.codes`), columns[linear]), scale, zero };
    });
  }

  async write(layer: number, weights: RoundedLayer, record: RoundingRecord): Promise<void> {
    const columns: Partial<Record<Linear, number>> = {};
    const tensors = LINEARS.flatMap((linear): [string, HostTensor][] => {
      const matrix = weights[linear];
      if ('values' in matrix) return [[valuesName(linear), matrix.values]];
      const { rows, scale, zero } = matrix;
      const grid = [rows, scale.length / rows];
      const codes = storedCodes(matrix);
      if (codes.dtype === 'uint8') columns[linear] = matrix.columns;
      return [
        [`${linear}.codes`, codes],
        [`${linear}.scale`, float32(grid, scale)],
        [`${linear}.zero`, float32(grid, zero)],
      ];
    });
    const form = { format: FORMAT, version: VERSION, columns: JSON.stringify(columns) };
    const { text, check } = this.#options;
    const metadata = { ...form, key: this.key, ...(text && { text }), record: JSON.stringify(record) };
    check?.();
    await writeSafetensors(this.#path(layer), Object.fromEntries(tensors), metadata);
  }

  #isSound(tensors: ReadonlyMap<string, FileTensor>, linear: Linear, halved: number | undefined): boolean {
    const values = tensors.get(valuesName(linear));
    if (!values) return this.#isSoundGrid(tensors, linear, halved);
    const sizes = this.#options.sizes?.[linear] ?? values.dims;
    return this.isDense && isSoundDense(values, sizes);
  }

  /**
   * Grids are read: they are small beside the codes, of which every byte is a number.
   * @param halved columns of a matrix whose codes are halves of bytes.
   */
  #isSoundGrid(
    tensors: ReadonlyMap<string, FileTensor>,
    linear: Linear,
    halved: number | undefined,
  ): boolean {
    const [codes, scale, zero] = [`${linear}.codes`, `${linear}.scale`, `${linear}.zero`].map((name) =>
      tensors.get(name),
    );
    if (scale?.dtype !== 'float32' || zero?.dtype !== 'float32') return false;
    if (codes?.dtype !== (halved === undefined ? 'int8' : 'uint8')) return false;
    const [rows = 0, width = 0] = codes.dims;
    if (halved !== undefined && width !== bytesPerRow(halved)) return false;
    const columns = halved ?? width;
    const [wantedRows, wantedColumns] = this.#options.sizes?.[linear] ?? [rows, columns];
    const [gridRows, groups = 0] = scale.dims;
    return (
      [codes, scale, zero].every(({ dims }) => dims.length === 2) &&
      rows === wantedRows &&
      columns === wantedColumns &&
      gridRows === rows &&
      groups > 0 &&
      columns % groups === 0 &&
      zero.dims.every((size, axis) => size === scale.dims[axis]) &&
      [scale, zero].every((tensor) => toFloat32(tensor).every(Number.isFinite))
    );
  }

  #path(layer: number): string {
    return pathOf(this.folder, layer);
  }
}

const pathOf = (folder: string, layer: number): string =>
  join(folder, `layer-${String(layer).padStart(4, '0')}.safetensors`);

/** The digest of the text that layers of a folder were rounded on; null where their files do not tell. */
export function textOfRounded(folder: string): string | null {
  const path = pathOf(folder, 0);
  if (!existsSync(path)) return null;
  try {
    return readSafetensorsHeader(path).metadata.text ?? null;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

const valuesName = (linear: Linear): string => `${linear}.values`;

const DENSE_TYPES: readonly DType[] = ['float32', 'float16', 'bfloat16'];

function denseMatrix(values: HostTensor): DenseMatrix {
  const [rows, columns] = values.dims as [number, number];
  return { rows, columns, values };
}

/** All values are read: one that is not finite spoils whatever reads it. */
function isSoundDense(values: FileTensor, [rows, columns]: readonly number[]): boolean {
  const { dims, dtype } = values;
  const fits = dims.length === 2 && dims[0] === rows && dims[1] === columns;
  return fits && DENSE_TYPES.includes(dtype) && toFloat32(values).every(Number.isFinite);
}
