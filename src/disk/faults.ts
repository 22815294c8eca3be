/** The one place where errors of the operating system become words for the person. */
import { accessSync, constants, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { codeOf, messageOf, UserError } from '../protocol/errors.ts';

/** This was tried with the file or folder. */
export type DiskUse = 'read' | 'written' | 'opened';

interface Reason {
  readonly found: string;
  readonly todo: string;
}

const PATH =
  'Check the path: it is taken from the folder that you are in, or from that of the experiment file.';
const OTHER_PLACE = 'Choose another place, or get the right to write there.';
/** What to do about a full disk, where a run is at work. */
export const ROOM = 'Make room there, or choose another folder; a run can then be resumed.';
const AGAIN = 'Look at the disk or the network, then try again; a run can be resumed.';

const REASONS: Readonly<Record<string, Reason>> = {
  ENOENT: { found: 'it does not exist', todo: PATH },
  ENOTDIR: { found: 'a part of its path is a file, not a folder', todo: PATH },
  EISDIR: { found: 'it is a folder', todo: 'Name a file in it.' },
  EACCES: {
    found: 'you have no permission',
    todo: 'Give yourself the right (ls -l shows who has it), or name another place.',
  },
  EPERM: {
    found: 'the system does not permit it',
    todo: 'Give yourself the right (ls -l shows who has it), or name another place.',
  },
  EEXIST: {
    found: 'something with that name is there already',
    todo: 'Name another place, or remove what is there.',
  },
  ENOTEMPTY: { found: 'the folder is not empty', todo: 'Name another folder, or empty this one.' },
  ENAMETOOLONG: {
    found: 'the name is too long',
    todo: 'Use a shorter name: file systems allow 255 bytes a name.',
  },
  ELOOP: { found: 'its links lead in a circle', todo: 'Remove the link, and name the file itself.' },
  EROFS: { found: 'the disk is read-only', todo: OTHER_PLACE },
  ENOSPC: { found: 'the disk is full', todo: ROOM },
  EDQUOT: { found: 'your disk quota is used up', todo: ROOM },
  EFBIG: { found: 'the file system takes no file so large', todo: ROOM },
  EMFILE: { found: 'too many files are open', todo: 'Raise the limit (ulimit -n), or close other programs.' },
  ENFILE: { found: 'too many files are open on this machine', todo: 'Close other programs.' },
  EBUSY: { found: 'another program holds it', todo: 'Close that program, then try again.' },
  ETXTBSY: { found: 'another program holds it', todo: 'Close that program, then try again.' },
  EIO: { found: 'the disk failed', todo: AGAIN },
  ENXIO: { found: 'its device is not there', todo: AGAIN },
  ENODEV: { found: 'its device is not there', todo: AGAIN },
  ESTALE: { found: 'the network file system has lost it', todo: AGAIN },
  ETIMEDOUT: { found: 'the network file system did not answer', todo: AGAIN },
  EPIPE: { found: 'its reader has gone', todo: 'What was computed is kept, if the command keeps a run.' },
  ERR_INVALID_ARG_VALUE: { found: 'its name has a NUL character', todo: 'Mend the name.' },
  ERR_FS_FILE_TOO_LARGE: {
    found: 'it is larger than 2 GiB',
    todo: 'Such a file cannot be of this kind: look whether it is the right one.',
  },
  ERR_STRING_TOO_LONG: {
    found: 'it is larger than half a GiB',
    todo: 'Such a file cannot be of this kind: look whether it is the right one.',
  },
};

/** Replaces parts of the fault where the place knows better. */
export interface Better {
  readonly code?: string;
  readonly hint?: string;
}

/**
 * Returns an error of the operating system as a UserError with the path and the reason, `file/unreadable` or
 * `file/unwritable`; returns any other error unchanged.
 */
export function diskFault(error: unknown, path: string, use: DiskUse, better: Better = {}): unknown {
  const code = knownCodeOf(error);
  if (code === null) return error;
  const { found, todo } = reasonOf(code, use);
  return new UserError(
    better.code ?? (use === 'written' ? 'file/unwritable' : 'file/unreadable'),
    `${path} cannot be ${use}: ${found}.`,
    better.hint ?? todo,
  );
}

/** The file itself is new where one is written: then it is its folder that is missing. */
function reasonOf(code: string, use: DiskUse): Reason {
  if (code === 'ENOENT' && use === 'written')
    return { found: 'there is no such folder', todo: 'Make the folder first, or name another place.' };
  return REASONS[code]!;
}

/** Null where the error is not one of the operating system that a person can mend. */
function knownCodeOf(error: unknown): string | null {
  const code = codeOf(error);
  if (code === undefined || !Object.hasOwn(REASONS, code)) return null;
  // Node uses this code for any odd argument.
  if (code === 'ERR_INVALID_ARG_VALUE' && !messageOf(error).includes('null bytes')) return null;
  return code;
}

const READS = new Set([
  'read',
  'stat',
  'lstat',
  'fstat',
  'scandir',
  'opendir',
  'readlink',
  'realpath',
  'access',
]);

/**
 * For front doors: returns what an error of the operating system means, where no place nearer to it has said so.
 * Returns any other error unchanged.
 */
export function systemFault(error: unknown): unknown {
  const code = knownCodeOf(error);
  if (code === null || !(error instanceof Error)) return error;
  const { path, dest, syscall } = error as NodeJS.ErrnoException & { readonly dest?: string };
  if (path === undefined && syscall === undefined && !code.startsWith('ERR_')) return error;
  const use =
    syscall === undefined || READS.has(syscall) ? 'read' : syscall === 'open' ? 'opened' : 'written';
  return diskFault(error, dest ?? path ?? 'A file', use);
}

/** Reads; an error of the operating system becomes a {@link diskFault}. */
export async function reading<T>(path: string, work: () => Promise<T>, better?: Better): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw diskFault(error, path, 'read', better);
  }
}

/** The same for work that does not wait. */
export function readingNow<T>(path: string, work: () => T, better?: Better): T {
  try {
    return work();
  } catch (error) {
    throw diskFault(error, path, 'read', better);
  }
}

/** Writes; an error of the operating system becomes a {@link diskFault}. */
export async function writing<T>(path: string, work: () => Promise<T>, better?: Better): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw diskFault(error, path, 'written', better);
  }
}

/** The same for work that does not wait. */
export function writingNow<T>(path: string, work: () => T, better?: Better): T {
  try {
    return work();
  } catch (error) {
    throw diskFault(error, path, 'written', better);
  }
}

/**
 * Looks before long work whether its result could be written: the folder is there and may be written to.
 * @throws the {@link diskFault} of writing the file.
 */
export function expectWritable(path: string): void {
  writingNow(path, () => {
    accessSync(dirname(path), constants.W_OK);
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return;
    if (found.isDirectory()) throw Object.assign(new Error('it is a folder'), { code: 'EISDIR' });
    accessSync(path, constants.W_OK);
  });
}
