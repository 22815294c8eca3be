import { open } from 'node:fs/promises';
import { readAll } from '../../disk/bytes.ts';
import { throwIfCancelled, UserError } from '../../protocol/errors.ts';
import type { FileTensor } from '../../protocol/tensor.ts';
import { BYTES_PER_ELEMENT } from '../../protocol/tensor.ts';
import type { Checkpoint } from './checkpoint.ts';

const CHUNK_BYTES = 1 << 22;

/** The mask selects the exponent in the (upper) word of each format: all ones mean NaN or infinity. */
const EXPONENT_MASK: Partial<Record<FileTensor['dtype'], number>> = {
  float64: 0x7ff00000,
  float32: 0x7f800000,
  bfloat16: 0x7f80,
  float16: 0x7c00,
};

/**
 * Reads all weights once, in blocks of 4 MiB, and looks for NaN and infinity.
 * @throws UserError `model/non-finite` with tensor, index and file; Cancelled.
 */
export async function scanForNonFinite(checkpoint: Checkpoint, signal?: AbortSignal): Promise<void> {
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (const [name, tensor] of checkpoint.tensors) {
    const index = await findNonFinite(tensor, buffer, signal);
    if (index === undefined) continue;
    throw new UserError(
      'model/non-finite',
      `${tensor.path}: ${name} [${tensor.dims.join(', ')}] holds a value that is not finite, first at [${unravel(index, tensor.dims).join(', ')}].`,
      'The checkpoint is damaged or its training diverged: use another one.',
    );
  }
}

/** Returns the flat index of a tensor's first NaN or infinity. */
async function findNonFinite(
  tensor: FileTensor,
  buffer: Uint8Array,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const file = await open(tensor.path, 'r');
  try {
    for (let done = 0; done < tensor.byteLength; ) {
      throwIfCancelled(signal);
      const length = Math.min(buffer.length, tensor.byteLength - done);
      await readAll(file, buffer.subarray(0, length), tensor.byteOffset + done, tensor.path);
      const index = firstNonFinite(buffer, length, tensor.dtype);
      if (index >= 0) return done / BYTES_PER_ELEMENT[tensor.dtype] + index;
      done += length;
    }
    return undefined;
  } finally {
    await file.close();
  }
}

function firstNonFinite(buffer: Uint8Array, length: number, dtype: FileTensor['dtype']): number {
  const mask = EXPONENT_MASK[dtype];
  if (mask === undefined) return -1;
  const width = BYTES_PER_ELEMENT[dtype];
  const words =
    width === 2
      ? new Uint16Array(buffer.buffer, 0, length / 2)
      : new Uint32Array(buffer.buffer, 0, length / 4);
  // Only the upper word of a float64 (the second, little-endian) holds the exponent.
  const step = width === 8 ? 2 : 1;
  for (let i = step - 1; i < words.length; i += step) {
    if ((words[i]! & mask) === mask) return (i - step + 1) / step;
  }
  return -1;
}

function unravel(flat: number, dims: readonly number[]): number[] {
  const index: number[] = [];
  let rest = flat;
  for (const dim of [...dims].reverse()) {
    index.unshift(rest % dim);
    rest = Math.floor(rest / dim);
  }
  return index;
}
