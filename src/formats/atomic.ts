import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../protocol/errors.ts';

const DISK_FAULTS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'your disk quota is used up',
  EROFS: 'the disk cannot be written to',
  EFBIG: 'the file system takes no file so large',
};

/** Returns a fault of the disk as a UserError that the person can mend; returns any other error unchanged. */
export function diskFault(error: unknown, path: string): unknown {
  const reason = DISK_FAULTS[(error as NodeJS.ErrnoException).code ?? ''];
  if (reason === undefined) return error;
  return new UserError(
    'file/disk',
    `${path} cannot be written: ${reason}.`,
    'Make room there, or choose another folder; a run can then be resumed.',
  );
}

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
    await rm(temporary, { force: true });
    throw diskFault(error, path);
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
