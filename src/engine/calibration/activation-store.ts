import { type FileHandle, open, rm } from 'node:fs/promises';
import { writing } from '../../disk/faults.ts';
import { writeAll } from '../../formats/atomic.ts';
import { readFully } from '../../formats/tensor-io.ts';

/** Activations of every part of a text at one place in the network: written in order, read in order, many times. */
export interface ActivationStore {
  read(part: number): Promise<Float32Array>;
  write(part: number, rows: Float32Array): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param sizes elements of each part.
 * @param limit bytes that may be held in memory; more goes to a scratch file, of which nothing is left afterwards, on
 * systems that let go of an open file's name also if the process is killed.
 * @param scratch path of that file, asked for where there is one.
 */
export async function openActivationStore(
  sizes: readonly number[],
  limit: number,
  scratch: () => Promise<string>,
): Promise<ActivationStore> {
  const bytes = sizes.reduce((sum, size) => sum + size, 0) * Float32Array.BYTES_PER_ELEMENT;
  if (bytes <= limit) return new MemoryStore();
  const path = await scratch();
  const file = await open(path, 'w+');
  if (process.platform !== 'win32') await rm(path);
  return new ScratchFile(file, path, sizes);
}

class MemoryStore implements ActivationStore {
  readonly #parts: Float32Array[] = [];

  read(part: number): Promise<Float32Array> {
    return Promise.resolve(this.#parts[part]!);
  }

  write(part: number, rows: Float32Array): Promise<void> {
    const own = this.#parts[part] ?? new Float32Array(rows.length);
    own.set(rows);
    this.#parts[part] = own;
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#parts.length = 0;
    return Promise.resolve();
  }
}

/** Activations of as many parts of a text as fit, each written by one pass and read by the next. */
export class HeldParts {
  readonly #limit: number;
  readonly #parts = new Map<number, Float32Array>();
  readonly #written = new Set<number>();
  #bytes = 0;

  /** @param limit bytes that may be held. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Memory to write a part into, which then counts as written; null where there is none. */
  room(part: number, elements: number): Float32Array | null {
    const bytes = elements * Float32Array.BYTES_PER_ELEMENT;
    const known = this.#parts.get(part);
    if (!known && this.#bytes + bytes > this.#limit) return null;
    const rows = known ?? new Float32Array(elements);
    if (!known) this.#bytes += bytes;
    this.#parts.set(part, rows);
    this.#written.add(part);
    return rows;
  }

  /** Returns the rows that were written of a part since it was taken last; null where there are none. */
  take(part: number): Float32Array | null {
    return this.#written.delete(part) ? this.#parts.get(part)! : null;
  }
}

class ScratchFile implements ActivationStore {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #sizes: readonly number[];
  readonly #starts: number[] = [];
  /** Parts are read one at a time. */
  readonly #rows: Float32Array;

  constructor(file: FileHandle, path: string, sizes: readonly number[]) {
    this.#file = file;
    this.#path = path;
    this.#sizes = sizes;
    this.#rows = new Float32Array(Math.max(...sizes));
    let start = 0;
    for (const size of sizes) {
      this.#starts.push(start);
      start += size * Float32Array.BYTES_PER_ELEMENT;
    }
  }

  /** The array is valid until the next part is read. */
  read(part: number): Promise<Float32Array> {
    const rows = this.#rows.subarray(0, this.#sizes[part]!);
    const bytes = new Uint8Array(rows.buffer, 0, rows.byteLength);
    readFully(this.#file.fd, bytes, this.#starts[part]!, this.#path);
    return Promise.resolve(rows);
  }

  async write(part: number, rows: Float32Array): Promise<void> {
    const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
    await writing(this.#path, () => writeAll(this.#file, bytes, this.#starts[part]!));
  }

  async close(): Promise<void> {
    await this.#file.close();
    await rm(this.#path, { force: true, maxRetries: 3 }).catch(() => undefined);
  }
}
