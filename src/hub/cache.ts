/**
 * The cache that tools of Hugging Face share. A repository has `blobs`, files by the hash of their contents, `refs`,
 * commits by the names of branches, and `snapshots`, a folder of links for each commit.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { chooseFiles, listFolder, type Part } from '../disk/data-set.ts';
import { messageOf, UserError } from '../protocol/errors.ts';
import { cacheFolder } from './environment.ts';
import type { HubAddress } from './names.ts';

const COMMIT = /^[0-9a-f]{40}$/;
export const INDEX_FILE = 'model.safetensors.index.json';

/** True for a revision that always means the same files. */
export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

/** The folder of a repository: `models--org--name`. */
export function repositoryFolder({ kind, name }: HubAddress): string {
  return join(cacheFolder(), [`${kind}s`, ...name.split('/')].join('--'));
}

/** The file that holds the commit of a branch or tag. */
export function refFile(address: HubAddress): string {
  return join(repositoryFolder(address), 'refs', address.revision);
}

export function snapshotFolder(address: HubAddress, commit: string): string {
  return join(repositoryFolder(address), 'snapshots', commit);
}

/** The commit that the cache has for the revision; null where it was never asked for. */
export function cachedCommit(address: HubAddress): string | null {
  if (isCommit(address.revision)) return address.revision;
  try {
    const commit = readFileSync(refFile(address), 'utf8').trim();
    return isCommit(commit) ? commit : null;
  } catch {
    return null; // It is not there, or damaged: asking again mends it.
  }
}

/** The folder of a model whose every file is in the cache; null where one is missing. */
export function cachedModel(address: HubAddress, commit = cachedCommit(address)): string | null {
  const folder = commit === null ? null : snapshotFolder(address, commit);
  return folder !== null && isWholeModel(folder) ? folder : null;
}

/** A link whose blob is gone does not exist. */
function isWholeModel(folder: string): boolean {
  const has = (name: string) => existsSync(join(folder, name));
  if (!has('config.json') || !has('tokenizer.json')) return false;
  if (!has(INDEX_FILE)) return listFolder(folder).some((name) => /^[^/]*\.safetensors$/.test(name));
  const shards = shardsOf(join(folder, INDEX_FILE));
  return shards?.every(has) ?? false;
}

/** The files that an index names; null where it cannot be read. */
export function shardsOf(index: string): string[] | null {
  try {
    const { weight_map: map } = JSON.parse(readFileSync(index, 'utf8')) as {
      readonly weight_map?: Readonly<Record<string, unknown>>;
    };
    const names = [...new Set(Object.values(map ?? {}).map(String))];
    return names.length > 0 && names.every((name) => name === basename(name)) ? names.sort() : null;
  } catch (error) {
    if (error instanceof SyntaxError || messageOf(error).includes('ENOENT')) return null;
    throw error;
  }
}

/** The files of a part of a data set, if all of them are in the cache; null where one is missing. */
export function cachedDataset(
  address: HubAddress,
  split: string | null,
  commit = cachedCommit(address),
): string[] | null {
  const folder = commit === null ? null : snapshotFolder(address, commit);
  if (folder === null || !existsSync(folder)) return null;
  return filesOf(folder, { path: address.path, split });
}

/** A part that the snapshot lacks may be on the Hub. */
function filesOf(folder: string, part: Part): string[] | null {
  try {
    return chooseFiles(folder, listFolder(folder), part).map((path) => join(folder, path));
  } catch (error) {
    if (error instanceof UserError && error.code.startsWith('dataset/')) return null;
    throw error;
  }
}
