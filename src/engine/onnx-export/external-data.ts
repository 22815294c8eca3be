import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { writing } from '../../disk/faults.ts';
import { writeAll } from '../../formats/atomic.ts';
import type { StoredBytes } from '../graph/model-proto.ts';

/** A page of most systems: what begins on one can be mapped without a copy. */
const ALIGNMENT = 4096;

/** The file beside a model that holds the bytes of its tensors, written front to back. */
export class ExternalData {
  readonly #path: string;
  readonly #name: string;
  readonly #file: FileHandle;
  #length = 0;

  private constructor(path: string, name: string, file: FileHandle) {
    this.#path = path;
    this.#name = name;
    this.#file = file;
  }

  /** @throws UserError `file/unwritable`, as all its methods. */
  static async create(folder: string, name: string): Promise<ExternalData> {
    const path = join(folder, name);
    return new ExternalData(path, name, await writing(path, () => open(path, 'wx')));
  }

  /** Appends the bytes of one tensor, which may come in parts. */
  async append(parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<StoredBytes> {
    const offset = Math.ceil(this.#length / ALIGNMENT) * ALIGNMENT;
    let end = offset;
    for await (const part of parts) {
      const at = end;
      await writing(this.#path, () => writeAll(this.#file, part, at));
      end += part.byteLength;
    }
    this.#length = end;
    return { file: this.#name, offset, length: end - offset };
  }

  /** Waits until all is on the disk. */
  async finish(): Promise<void> {
    await writing(this.#path, () => this.#file.sync());
    await this.close();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
