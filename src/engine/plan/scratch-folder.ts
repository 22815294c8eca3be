import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { diskFault } from '../../disk/faults.ts';
import { isAlive } from '../../runs/index.ts';

const PREFIX = '.rounded-';
/** Process, its machine, and six random letters. */
const NAME = /^\.rounded-(\d+)-(.+)-\w{6}$/;

/** Weights can be as large as the model: they go to the disk that runs are on, not to memory that poses as one. */
export interface ScratchFolder {
  readonly path: string;
  remove(): Promise<void>;
}

/** A new folder inside `parent`, which is made if need be. What killed processes left of theirs is removed. */
export async function makeScratchFolder(parent: string): Promise<ScratchFolder> {
  try {
    await mkdir(parent, { recursive: true });
    await sweep(parent);
    const path = await mkdtemp(join(parent, `${PREFIX}${process.pid}-${hostname()}-`));
    return { path, remove: () => removeFolder(path) };
  } catch (error) {
    throw diskFault(error, parent, 'written');
  }
}

async function sweep(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const [, pid, host] = NAME.exec(name) ?? [];
    if (pid === undefined || host === undefined) continue;
    if (!isAlive({ pid: Number(pid), host, startTicks: null })) await removeFolder(join(parent, name));
  }
}

/** A folder that a scanner holds is swept later: it must not cost the result. */
async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
}
