import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { diskFault, writing } from '../../disk/faults.ts';
import { readSafetensorsHeader } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { bytesOf, readFully } from '../../formats/tensor-io.ts';
import { UserError } from '../../protocol/errors.ts';
import type { FileTensor, HostTensor } from '../../protocol/tensor.ts';
import type { HostTensors, Tensors } from '../graph/program.ts';
import { sampledRanges } from '../model/checkpoint-hash.ts';
import type { PanelStore, PanelType } from '../network/kept-panels.ts';

const FORMAT = 'spinquant packed weights';
/** Raised when panels or grids come to lie otherwise (native-kernels/ops/int4_matmul/README.md). */
export const LAYOUT = '2';
/** Products load whole cache lines. */
const ALIGNMENT = 64;

export interface PanelFilesOptions {
  /** The key of all that decides the packed weights: files with another one are not read. */
  key(): Promise<string>;
  /** Called before every write; throws where the folder is another process's by now, or the model another one. */
  check(): void;
}

/**
 * Packed weights in a folder, a safetensors file for each part, written whole or not at all: the tensors that products
 * read, by their names in programs. Its metadata has `format`, `layout`, `key`, and in `digest` what tells damage.
 */
export class PanelFiles implements PanelStore {
  readonly #folder: string;
  readonly #options: PanelFilesOptions;
  #takesMore = true;

  /** @param folder made when the first part is written; the one around it must be there. */
  constructor(folder: string, options: PanelFilesOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  async read(part: string, types: readonly PanelType[]): Promise<Tensors | null> {
    const path = this.#path(part);
    if (!existsSync(path)) return null;
    const key = await this.#options.key();
    return orNull(() => {
      const { tensors, metadata } = readSafetensorsHeader(path);
      const isOurs = metadata.format === FORMAT && metadata.layout === LAYOUT && metadata.key === key;
      const isWhole =
        tensors.size === types.length && types.every((type) => isOf(type, tensors.get(type.name)));
      if (!isOurs || !isWhole || metadata.digest !== digestOfFile(path, [...tensors])) return null;
      return Object.fromEntries(tensors);
    });
  }

  async write(part: string, tensors: HostTensors): Promise<boolean> {
    if (!this.#takesMore) return false;
    this.#options.check();
    const key = await this.#options.key();
    const digest = digestOfTensors(Object.entries(tensors));
    const metadata = { format: FORMAT, layout: LAYOUT, key, digest };
    try {
      await this.#makeFolder();
      await writeSafetensors(this.#path(part), tensors, metadata, ALIGNMENT);
    } catch (error) {
      // A full disk, or one that may not be written to: packing in memory goes on.
      if (!(error instanceof UserError)) throw error;
      this.#takesMore = false;
    }
    return this.#takesMore;
  }

  async #makeFolder(): Promise<void> {
    if (!existsSync(this.#folder)) await writing(this.#folder, () => mkdir(this.#folder));
  }

  #path(part: string): string {
    return join(this.#folder, `${part}.safetensors`);
  }
}

/** What cannot be read is made again. */
function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof UserError || diskFault(error, '', 'read') instanceof UserError) return null;
    throw error;
  }
}

const isOf = ({ dtype, dims }: PanelType, tensor: FileTensor | undefined): boolean =>
  tensor?.dtype === dtype && tensor.dims.join() === dims.join();

type Named<T> = readonly (readonly [name: string, tensor: T])[];

/**
 * Grids count whole: one damaged number spoils a row. Of panels, where any byte is two codes, blocks are looked at, as of
 * a checkpoint: reading half a gigabyte would take longer than the network's first token.
 */
function rangesOf(dtype: string, byteLength: number): readonly (readonly [offset: number, length: number])[] {
  return dtype === 'float32' ? [[0, byteLength]] : sampledRanges(byteLength);
}

function digestOfTensors(tensors: Named<HostTensor>): string {
  const hash = createHash('sha256');
  for (const [name, tensor] of inOrder(tensors)) {
    hash.update(`\n${name}\n`);
    const bytes = bytesOf(tensor);
    for (const [offset, length] of rangesOf(tensor.dtype, bytes.length))
      hash.update(bytes.subarray(offset, offset + length));
  }
  return hash.digest('hex');
}

/** @throws UserError `file/truncated`, and errors of the file system. */
function digestOfFile(path: string, tensors: Named<FileTensor>): string {
  const hash = createHash('sha256');
  const file = openSync(path, 'r');
  try {
    for (const [name, { dtype, byteOffset, byteLength }] of inOrder(tensors)) {
      hash.update(`\n${name}\n`);
      for (const [offset, length] of rangesOf(dtype, byteLength)) {
        const bytes = new Uint8Array(length);
        readFully(file, bytes, byteOffset + offset, path);
        hash.update(bytes);
      }
    }
  } finally {
    closeSync(file);
  }
  return hash.digest('hex');
}

const inOrder = <T>(tensors: Named<T>): Named<T> => [...tensors].sort(([a], [b]) => (a < b ? -1 : 1));
