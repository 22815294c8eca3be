import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Removes files that a process left which was killed while it wrote a layer. */
export async function removeTornFiles(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (name.startsWith('.') && name.endsWith('.tmp')) await rm(join(folder, name), { force: true });
}
