import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileTensor } from '../../protocol/tensor.ts';

const BLOCK_BYTES = 4096;
const BLOCKS = 16;

/**
 * Returns the sha256 over config.json and, for each tensor in order of name, its name, dtype, shape and bytes. A tensor
 * longer than 64 KiB gives sixteen evenly spread blocks of 4 KiB. The hash tells another model or another training step
 * apart, not one flipped bit.
 */
export async function hashCheckpoint(dir: string, tensors: ReadonlyMap<string, FileTensor>): Promise<string> {
  const hash = createHash('sha256');
  hash.update(await readFile(join(dir, 'config.json')));
  const files = new Map<string, number>();
  const block = new Uint8Array(BLOCKS * BLOCK_BYTES);
  try {
    for (const [name, tensor] of [...tensors].sort(([a], [b]) => (a < b ? -1 : 1))) {
      hash.update(`\n${name} ${tensor.dtype} [${tensor.dims}]\n`);
      const file = files.get(tensor.path) ?? openSync(tensor.path, 'r');
      files.set(tensor.path, file);
      // Thousands of short reads: waiting for each in turn takes longer than all of them.
      for (const [offset, length] of sampledRanges(tensor.byteLength)) {
        const count = readSync(file, block, 0, length, tensor.byteOffset + offset);
        hash.update(block.subarray(0, count));
      }
      await pause();
    }
  } finally {
    for (const file of files.values()) closeSync(file);
  }
  return hash.digest('hex');
}

/** Lets other work of the process go on between tensors. */
const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Places of a tensor that are looked at: all of a short one, else sixteen blocks spread evenly. */
export function sampledRanges(byteLength: number): [offset: number, length: number][] {
  if (byteLength <= BLOCKS * BLOCK_BYTES) return [[0, byteLength]];
  const stride = (byteLength - BLOCK_BYTES) / (BLOCKS - 1);
  return Array.from({ length: BLOCKS }, (_, i) => [Math.floor(i * stride), BLOCK_BYTES]);
}
