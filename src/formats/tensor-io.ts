import { closeSync, openSync, readSync } from 'node:fs';
import { UserError } from '../protocol/errors.ts';
import type { FileTensor, HostTensor } from '../protocol/tensor.ts';
import { allocate, BYTES_PER_ELEMENT, elementCount } from '../protocol/tensor.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from './float-bits.ts';

/** Returns the bytes of a tensor's data, without a copy. */
export function bytesOf(tensor: HostTensor): Uint8Array {
  const { data } = tensor;
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Fills `target` from the open file; a read may be short. @throws UserError when the file ends too early. */
export function readFully(fd: number, target: Uint8Array, position: number, path: string): void {
  for (let done = 0; done < target.length; ) {
    const count = readSync(fd, target, done, Math.min(1 << 30, target.length - done), position + done);
    if (count === 0) {
      throw new UserError(
        'file/truncated',
        `${path} ends at byte ${position + done}; ${target.length - done} more bytes were expected.`,
        'The file is incomplete or was changed while it was read: copy or download it again.',
      );
    }
    done += count;
  }
}

/** Reads `length` bytes at `position`. @throws UserError when the file ends too early. */
export function readBytes(path: string, position: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const fd = openSync(path, 'r');
  try {
    readFully(fd, bytes, position, path);
  } finally {
    closeSync(fd);
  }
  return bytes;
}

/** Reads a tensor into memory in its own dtype; float16 and bfloat16 stay raw bits. Any byte offset is allowed. */
export function readTensor(file: FileTensor): HostTensor {
  const data = allocate(file.dtype, elementCount(file.dims));
  if (data.byteLength !== file.byteLength) {
    throw new RangeError(`${file.path}: ${file.byteLength} bytes do not hold ${file.dtype} [${file.dims}]`);
  }
  const tensor: HostTensor = { kind: 'host', dtype: file.dtype, dims: file.dims, data };
  const fd = openSync(file.path, 'r');
  try {
    readFully(fd, bytesOf(tensor), file.byteOffset, file.path);
  } finally {
    closeSync(fd);
  }
  return tensor;
}

/** Rows of a table of tokens that are in memory at a time: whole panels of packed weights. */
const TABLE_ROWS = 4096;

/** The rows of a table, part by part: it may be larger than memory. */
export function tableParts(rows: number): { readonly first: number; readonly count: number }[] {
  return Array.from({ length: Math.ceil(rows / TABLE_ROWS) }, (_, i) => {
    const first = i * TABLE_ROWS;
    return { first, count: Math.min(TABLE_ROWS, rows - first) };
  });
}

/** Rows first … first + count − 1 of a matrix in a file. */
export function fileRows(matrix: FileTensor, first: number, count: number): FileTensor {
  const { dims, dtype, byteOffset } = matrix;
  const [, width = 0] = dims;
  const rowBytes = width * BYTES_PER_ELEMENT[dtype];
  return {
    ...matrix,
    dims: [count, width],
    byteOffset: byteOffset + first * rowBytes,
    byteLength: count * rowBytes,
  };
}

/**
 * Converts the values to float32. float16, bfloat16 and 8-bit integers convert exactly; float64, int32 and int64 round
 * to nearest. A float32 tensor gives its own array, not a copy.
 */
export function toFloat32(tensor: HostTensor | FileTensor): Float32Array {
  const host = tensor.kind === 'file' ? readTensor(tensor) : tensor;
  const { data, dtype } = host;
  if (data instanceof Float32Array) return data;
  if (data instanceof Uint16Array) {
    return dtype === 'float16' ? float16ToFloat32(data) : bfloat16ToFloat32(data);
  }
  if (data instanceof BigInt64Array) return Float32Array.from(data, Number);
  return Float32Array.from(data);
}

/** Checks that a tensor's array has the dtype and length that it claims: catches a bug before it reaches a file. */
export function assertConsistent(name: string, tensor: HostTensor): void {
  const expected = elementCount(tensor.dims) * BYTES_PER_ELEMENT[tensor.dtype];
  const width = tensor.data.BYTES_PER_ELEMENT;
  if (tensor.data.byteLength !== expected || width !== BYTES_PER_ELEMENT[tensor.dtype]) {
    throw new RangeError(
      `tensor ${name}: ${tensor.data.byteLength} bytes in units of ${width} are not ${tensor.dtype} [${tensor.dims}]`,
    );
  }
}
