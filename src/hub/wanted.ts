/** Which files of a repository a job needs. */
import { join } from 'node:path';
import { chooseFiles } from '../disk/data-set.ts';
import { UserError } from '../protocol/errors.ts';
import { formatBytes } from '../protocol/text.ts';
import { INDEX_FILE, shardsOf } from './cache.ts';
import { describeAddress, describeRepository, type HubAddress } from './names.ts';
import type { HubFile } from './transfer.ts';

/** What the tokenizer and the model are read from, besides weights. */
const SMALL = ['config.json', 'tokenizer.json', 'tokenizer_config.json', INDEX_FILE];
const SINGLE = 'model.safetensors';
/** A job reads a few megabytes of text: who wants more than this names a file. */
const MOST_OF_SPLIT = 8e9;

export interface ModelFiles {
  readonly small: readonly HubFile[];
  /** Known when the index is there. @param snapshot the folder with the small files. */
  weights(snapshot: string): Promise<readonly HubFile[]>;
}

/**
 * Configuration, tokenizer and safetensors, no other weights.
 * @throws UserError `hub/no-model`.
 */
export function neededOfModel(address: HubAddress, listing: readonly HubFile[]): ModelFiles {
  const byPath = new Map(listing.map((file) => [file.path, file]));
  const small = SMALL.map((name) => byPath.get(name)).filter((file) => file !== undefined);
  for (const name of ['config.json', 'tokenizer.json']) if (!byPath.has(name)) throw noModel(address, name);
  const own = listing.filter(({ path }) => /^[^/]+\.safetensors$/.test(path));
  if (own.length === 0) throw noModel(address, '*.safetensors');
  return {
    small,
    async weights(snapshot) {
      if (!byPath.has(INDEX_FILE))
        return own.some(({ path }) => path === SINGLE) ? own.filter(({ path }) => path === SINGLE) : own;
      const shards = shardsOf(join(snapshot, INDEX_FILE)) ?? [];
      const files = shards.map((name) => byPath.get(name));
      const missing = shards.find((_, index) => files[index] === undefined);
      if (missing !== undefined) throw noModel(address, missing);
      return files.filter((file) => file !== undefined);
    },
  };
}

/** @throws UserError `hub/large-split`, and those of {@link chooseFiles}. */
export function neededOfDataset(
  address: HubAddress,
  split: string | null,
  listing: readonly HubFile[],
): HubFile[] {
  const source = describeRepository(address);
  const paths = listing.map(({ path }) => path);
  const chosen = new Set(chooseFiles(source, paths, { path: address.path, split }));
  const files = listing.filter(({ path }) => chosen.has(path));
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  if (files.length === 1 || bytes <= MOST_OF_SPLIT) return files;
  throw new UserError(
    'hub/large-split',
    `${describeAddress(address)} has ${files.length} files of ${formatBytes(bytes)}; a job reads far less.`,
    `Name one of them: ${source}/${files[0]?.path}`,
  );
}

function noModel(address: HubAddress, file: string): UserError {
  return new UserError(
    'hub/no-model',
    `${describeRepository(address)} has no ${file}; a model here has config.json, tokenizer.json and *.safetensors.`,
    'Name another model or revision. Some have safetensors in a pull request: NAME@refs/pr/1.',
  );
}
