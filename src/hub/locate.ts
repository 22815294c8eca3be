/** From what an experiment names to files on the disk. Nothing is downloaded here. */
import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { chooseFiles, listFolder } from '../disk/data-set.ts';
import { UserError } from '../protocol/errors.ts';
import { cachedDataset, cachedModel } from './cache.ts';
import {
  describeAddress,
  type HubAddress,
  isHubAddress,
  parseDatasetAddress,
  parseModelName,
} from './names.ts';

/**
 * A path of an experiment as an absolute path, or unchanged where it names something on the Hub. A folder on the disk
 * wins over a model of that name, and so does a folder that the first part of the name is.
 */
export function resolveModel(directory: string, written: string): string {
  if (isHubAddress(written)) return written;
  const path = resolve(directory, written);
  if (existsSync(path) || parseModelName(written) === null) return path;
  return existsSync(resolve(directory, written.split('/')[0] ?? '')) ? path : written;
}

export function resolveText(directory: string, written: string): string {
  return isHubAddress(written) ? written : resolve(directory, written);
}

/**
 * What a resolved model or text names on the Hub; null for a path.
 * @throws UserError `hub/name` for an address that is none.
 */
export function hubAddress(kind: HubAddress['kind'], resolved: string): HubAddress | null {
  const parsed = kind === 'model' ? parseModelName(resolved) : parseDatasetAddress(resolved);
  if (parsed !== null || !isHubAddress(resolved)) return parsed;
  throw new UserError(
    'hub/name',
    `${resolved} is no address of a ${kind === 'model' ? 'model' : 'data set'}.`,
    kind === 'model'
      ? 'Write ORG/NAME or ORG/NAME@REVISION.'
      : 'Write hf://datasets/ORG/NAME, with @REVISION and /FOLDER/SPLIT behind it as needed.',
  );
}

/**
 * The folder of a resolved model; null where it must be downloaded first.
 * @throws UserError `hub/name`.
 */
export function locateModel(resolved: string): string | null {
  const address = hubAddress('model', resolved);
  return address === null ? resolved : cachedModel(address);
}

/**
 * The files of a resolved text, in their order; null where they must be downloaded first.
 * @throws UserError `hub/name`, and for a folder those of `chooseFiles`.
 */
export function locateText(resolved: string, split: string | null): string[] | null {
  const address = hubAddress('dataset', resolved);
  if (address !== null) return cachedDataset(address, split);
  if (!statSync(resolved, { throwIfNoEntry: false })?.isDirectory()) return [resolved];
  const files = chooseFiles(resolved, listFolder(resolved), { path: '', split });
  return files.map((file) => join(resolved, file));
}

/** @throws UserError `hub/not-downloaded`, besides those of {@link locateModel}. */
export function expectModel(resolved: string): string {
  return locateModel(resolved) ?? missing(hubAddress('model', resolved));
}

/** @throws UserError `hub/not-downloaded`, besides those of {@link locateText}. */
export function expectText(resolved: string, split: string | null): string[] {
  return locateText(resolved, split) ?? missing(hubAddress('dataset', resolved), split);
}

function missing(address: HubAddress | null, split: string | null = null): never {
  const name = address === null ? '' : describeAddress(address);
  throw new UserError(
    'hub/not-downloaded',
    `${name} is not in the cache, or not with all of its files.`,
    `Download it: spinquant download ${name}${split === null ? '' : ` --split ${split}`}`,
  );
}
