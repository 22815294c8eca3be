/** This file reads tensors into memory where their files cannot be mapped. */
import { statSync } from 'node:fs';
import { readTensor } from '../../formats/tensor-io.ts';
import { UserError } from '../../protocol/errors.ts';
import { BYTES_PER_ELEMENT, type FileTensor, type TensorData } from '../../protocol/tensor.ts';

/** Returns device, inode, size and time of modification: they change when a file is replaced or written. */
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

/** True where the tensor's elements start at multiples of their size. */
export function isAligned(tensor: FileTensor): boolean {
  return tensor.byteOffset % BYTES_PER_ELEMENT[tensor.dtype] === 0;
}

/** Keeps the tensors used last, up to a number of bytes. */
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
    const data = known ?? readTensor(tensor).data;
    // The map keeps the order of insertion: the first entry is the least recently used.
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
