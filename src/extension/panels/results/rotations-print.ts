import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { codeOf } from '../../../protocol/errors.ts';

/** Two learned matrices that agree in so many bytes at both ends agree in all. */
const PART = 65_536;

/**
 * Tells rotations by their numbers: the size of their part of a safetensors file, and its first and last 64 KiB. What
 * the file says of itself does not count.
 * @returns null where there is no such file.
 */
export function rotationsPrint(path: string): string | null {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    const { size } = fstatSync(file);
    const begin = Math.min(size, 8 + Number(bytesAt(file, 0, 8).readBigUInt64LE()));
    const part = Math.min(PART, size - begin);
    return createHash('sha256')
      .update(String(size - begin))
      .update(bytesAt(file, begin, part))
      .update(bytesAt(file, size - part, part))
      .digest('base64url');
  } finally {
    closeSync(file);
  }
}

/** What lies beyond the end of the file is zero. */
function bytesAt(file: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  readSync(file, bytes, 0, length, position);
  return bytes;
}
