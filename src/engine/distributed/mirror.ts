/** Files of rank 0 on every rank, sent by MPI: the ranks need not see one disk. */
import { mkdir, open, readdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { readAll } from '../../disk/bytes.ts';
import { reading, writing } from '../../disk/faults.ts';
import { writeAll } from '../../formats/atomic.ts';
import { fromLeader } from './agreement.ts';
import type { Ranks } from './ranks.ts';

/** Bytes that are held at once. */
const PIECE = 2 ** 24;

interface Listed {
  /** Path in the folder, with slashes. */
  readonly name: string;
  readonly size: number;
}

/**
 * Copies a folder of rank 0 to a folder of each other rank.
 * @param source read on rank 0 alone. @param target written on the others; existing files are replaced.
 * @param isSent of a path in the folder, with slashes.
 * @throws UserError `file/truncated` on rank 0 where a file there becomes shorter meanwhile.
 */
export async function mirrorFolder(
  ranks: Ranks,
  source: string,
  target: string | null,
  isSent: (name: string) => boolean,
): Promise<void> {
  const list = await fromLeader(ranks, async () => JSON.stringify(await filesIn(source, isSent)));
  // Rank 0 wrote it with the line above.
  for (const { name, size } of JSON.parse(list) as readonly Listed[]) {
    const path = join(ranks.leads || target === null ? source : target, name);
    if (ranks.leads) await send(ranks, path, size);
    else await receive(ranks, path, size);
  }
}

async function filesIn(folder: string, isSent: (name: string) => boolean): Promise<Listed[]> {
  const entries = await reading(folder, () => readdir(folder, { recursive: true, withFileTypes: true }));
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const names = paths.map((path) => relative(folder, path).split(sep).join('/')).filter(isSent);
  return Promise.all(
    names.sort().map(async (name) => ({ name, size: (await stat(join(folder, name))).size })),
  );
}

async function send(ranks: Ranks, path: string, size: number): Promise<void> {
  const file = await reading(path, () => open(path, 'r'));
  try {
    for (let start = 0; start < size; start += PIECE) {
      const piece = new Uint8Array(Math.min(PIECE, size - start));
      await readAll(file, piece, start, path);
      await ranks.broadcast(piece);
    }
  } finally {
    await file.close();
  }
}

async function receive(ranks: Ranks, path: string, size: number): Promise<void> {
  await writing(path, () => mkdir(dirname(path), { recursive: true }));
  if (size === 0) return writing(path, () => writeFile(path, ''));
  const file = await writing(path, () => open(path, 'w'));
  try {
    for (let start = 0; start < size; start += PIECE) {
      const piece = new Uint8Array(Math.min(PIECE, size - start));
      await ranks.broadcast(piece);
      await writing(path, () => writeAll(file, piece, start));
    }
  } finally {
    await file.close();
  }
}
