import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdir, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ROOM, writing } from '../../disk/faults.ts';
import { UserError } from '../../protocol/errors.ts';

/**
 * Returns the absolute path of a model folder that may be made: it does not exist, or it is empty.
 * @throws UserError `import/exists`
 */
export function newModelFolder(path: string): string {
  const out = resolve(path);
  if (!existsSync(out)) return out;
  const isFolder = statSync(out).isDirectory();
  if (isFolder && readdirSync(out).length === 0) return out;
  throw new UserError(
    'import/exists',
    `${out} exists and is ${isFolder ? 'not empty' : 'a file'}; nothing is overwritten.`,
    'Choose another folder, or remove this one first.',
  );
}

/** Makes a folder that appears whole or not at all: `fill` writes into a temporary one beside it. */
export async function writeModelFolder(out: string, fill: (folder: string) => Promise<void>): Promise<void> {
  const temporary = join(dirname(out), `.${basename(out)}.${randomBytes(6).toString('hex')}.tmp`);
  await writing(out, async () => {
    await mkdir(dirname(out), { recursive: true });
    // Not both at once: where a file system takes no folders, Node would try for ever.
    await mkdir(temporary);
    try {
      await fill(temporary);
      if (existsSync(out)) await rmdir(out);
      await rename(temporary, out);
    } catch (error) {
      // The fault that counts is the first.
      await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
      throw toldOf(out, temporary, error);
    }
  });
}

/** A fault in the temporary folder, told of the folder that it was to become. */
function toldOf(out: string, temporary: string, error: unknown): unknown {
  if (!(error instanceof UserError)) return error;
  const { code, message, hint } = error;
  const todo = hint === ROOM ? 'Make room there, or choose another folder. Nothing is left behind.' : hint;
  return new UserError(code, message.replaceAll(temporary, out), todo);
}

/** Removes a folder of ours where the work on it fails. */
export async function keptWhole<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await rm(folder, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  }
}

export async function writeJson(path: string, value: object): Promise<void> {
  await writing(path, () => writeFile(path, `${JSON.stringify(value, null, 2)}\n`));
}
