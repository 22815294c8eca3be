import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { diskFault } from '../disk/faults.ts';

/**
 * Writes a file so that a reader sees the old file or the whole new one, never a part.
 * Steps: temporary file in the same folder, fsync, rename, fsync of the folder.
 */
export async function writeAtomic(path: string, fill: (file: FileHandle) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx');
    try {
      await fill(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    // The fault that counts is the first.
    await rm(temporary, { force: true }).catch(() => undefined);
    throw diskFault(error, path, 'written');
  }
  await syncFolder(dirname(path));
}

/** Makes a rename durable. Windows cannot open folders; there the rename itself is journalled. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Writes all bytes (a single `write` may be short, and fails above 2 GiB).
 * @param position offset in the file; null for the current position.
 */
export async function writeAll(
  file: FileHandle,
  bytes: Uint8Array,
  position: number | null = null,
): Promise<void> {
  const CHUNK = 1 << 26;
  for (let start = 0; start < bytes.length; ) {
    const length = Math.min(CHUNK, bytes.length - start);
    const at = position === null ? null : position + start;
    const { bytesWritten } = await file.write(bytes, start, length, at);
    start += bytesWritten;
  }
}
