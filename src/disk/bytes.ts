import type { FileHandle } from 'node:fs/promises';
import { UserError } from '../protocol/errors.ts';
import { reading } from './faults.ts';

/**
 * Fills `target` from a byte of a file on: a single read may be short.
 * @throws UserError `file/truncated` where the file ends before.
 */
export async function readAll(
  file: FileHandle,
  target: Uint8Array,
  position: number,
  path: string,
): Promise<void> {
  for (let done = 0; done < target.length; ) {
    const { bytesRead } = await reading(path, () =>
      file.read(target, done, target.length - done, position + done),
    );
    if (bytesRead === 0)
      throw new UserError('file/truncated', `${path} became shorter while it was read.`, 'Copy it again.');
    done += bytesRead;
  }
}
