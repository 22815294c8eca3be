/** Tensors read from files into memory, where they cannot be mapped. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { messageOf, UserError } from '../../protocol/errors.ts';
import {
  allocate,
  BYTES_PER_ELEMENT,
  elementCount,
  type FileTensor,
  type TensorData,
} from '../../protocol/tensor.ts';

/** Changes when a file is replaced or written: its inode, size and time of modification. */
export function fileIdentity(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) {
    throw new UserError(
      'runtime/file',
      `The file ${path} is gone.`,
      'Tensors are read from their files on every run: put it back.',
    );
  }
  return `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeMs}`;
}

/** @throws UserError `runtime/file` for a file that is too short or cannot be read. */
export function readTensor(tensor: FileTensor): TensorData {
  const data = allocate(tensor.dtype, elementCount(tensor.dims));
  const bytes = new Uint8Array(data.buffer);
  let file: number | undefined;
  try {
    file = openSync(tensor.path, 'r');
    let done = 0;
    while (done < bytes.length) {
      const count = readSync(file, bytes, done, bytes.length - done, tensor.byteOffset + done);
      if (count === 0) throw new Error('unexpected end of file');
      done += count;
    }
  } catch (error) {
    throw new UserError(
      'runtime/file',
      `Cannot read ${bytes.length} bytes at ${tensor.byteOffset} of ${tensor.path}: ${messageOf(error)}`,
    );
  } finally {
    if (file !== undefined) closeSync(file);
  }
  return data;
}

/** Whether the tensor's elements start at multiples of their size. */
export function isAligned(tensor: FileTensor): boolean {
  return tensor.byteOffset % BYTES_PER_ELEMENT[tensor.dtype] === 0;
}

/** The tensors used last, up to a number of bytes. */
export class FileBuffers {
  readonly #limitBytes: number;
  readonly #entries = new Map<string, TensorData>();
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  read(tensor: FileTensor): TensorData {
    const { path, byteOffset, dtype, byteLength } = tensor;
    const key = `${fileIdentity(path)}:${byteOffset}:${byteLength}:${dtype}:${path}`;
    const known = this.#entries.get(key);
    const data = known ?? readTensor(tensor);
    // The map keeps the order of insertion: the first entry is the one not used for longest.
    this.#entries.delete(key);
    this.#entries.set(key, data);
    if (known === undefined) this.#bytes += byteLength;
    this.#dropOldest();
    return data;
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  #dropOldest(): void {
    for (const [key, data] of this.#entries) {
      if (this.#bytes <= this.#limitBytes || this.#entries.size === 1) return;
      this.#entries.delete(key);
      this.#bytes -= data.byteLength;
    }
  }
}
