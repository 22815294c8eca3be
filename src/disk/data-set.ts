/** The files of a data-set folder, as the Hub has them: `data/train-00000-of-00002.parquet`, `CONFIG/test.jsonl` … */
import { type Dirent, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../protocol/errors.ts';
import { readingNow } from './faults.ts';

/** What is asked for in a data set. */
export interface Part {
  /** Folder or file inside of it, with `/`; empty for all of it. */
  readonly path: string;
  /** Null where there is only one. */
  readonly split: string | null;
}

/** Of several forms of the same rows, the first that is there is read. */
const FORMS: readonly RegExp[] = [/\.parquet$/i, /\.(jsonl|ndjson|json)(\.gz)?$/i, /\.txt$/i];
/** These tell about the data and are none. */
const ABOUT = /^(\..*|readme\..*|dataset_infos?\.json|dataset_dict\.json|state\.json|config\.json)$/i;
const SHARD = /[-.](\d{5})-of-(\d{5})$/;
/** Names of splits that people write in several ways. */
const SPLITS: Readonly<Record<string, RegExp>> = {
  train: /(^|[-_.])(train|training)(?=[-_.]|$)/i,
  test: /(^|[-_.])(test|testing)(?=[-_.]|$)/i,
  validation: /(^|[-_.])(validation|valid|val|dev)(?=[-_.]|$)/i,
};
/** A data set has far fewer files; a folder with more is hardly one. */
const MAX_FILES = 20_000;
const MAX_DEPTH = 5;

interface DataFile {
  readonly path: string;
  /** Its folder, without one that only names the split. */
  readonly config: string;
  readonly split: string;
  /** Names by which the split may be asked for. */
  readonly names: readonly string[];
}

/** True for names of files whose rows can be read. */
export function isDataFile(path: string): boolean {
  const name = path.split('/').at(-1) ?? '';
  return !ABOUT.test(name) && FORMS.some((form) => form.test(name));
}

/**
 * The files of one part of a data set, in the order of their names.
 * @param source names the data set in messages. @param listing paths of all its files, with `/`.
 * @throws UserError `dataset/no-files`, `dataset/no-split`, `dataset/ambiguous`, `dataset/missing-shard`.
 */
export function chooseFiles(source: string, listing: readonly string[], part: Part): string[] {
  if (listing.includes(part.path)) return [part.path];
  const inside = filesIn(listing, part.path);
  const { files, split } =
    inside.length === 0 && part.split === null && part.path !== ''
      ? { files: filesIn(listing, parentOf(part.path)), split: part.path.split('/').at(-1) ?? '' }
      : { files: inside, split: part.split };
  if (files.length === 0) throw noFiles(source, part.path);
  const chosen = split === null ? files : filesOfSplit(files, split);
  if (chosen.length === 0) throw noSplit(source, split ?? '', files);
  const groups = new Set(chosen.map((file) => `${file.config} ${file.split}`));
  if (groups.size > 1) throw ambiguous(source, chosen);
  const paths = chosen.map(({ path }) => path).sort();
  expectAllShards(source, paths);
  return paths;
}

/**
 * Paths of all files in a folder and its folders, with `/`. Links are followed, as a download cache has them.
 * @throws UserError `dataset/too-many-files`.
 */
export function listFolder(folder: string): string[] {
  const found: string[] = [];
  const visit = (inside: string, depth: number): void => {
    const path = join(folder, inside);
    for (const entry of readingNow(path, () => readdirSync(path, { withFileTypes: true }))) {
      if (found.length >= MAX_FILES) throw tooMany(folder);
      const name = inside === '' ? entry.name : `${inside}/${entry.name}`;
      const kind = kindOf(entry, join(folder, name));
      if (kind === 'file') found.push(name);
      else if (kind === 'folder' && depth < MAX_DEPTH && !entry.name.startsWith('.')) visit(name, depth + 1);
    }
  };
  visit('', 0);
  return found;
}

function kindOf(entry: Dirent, path: string): 'file' | 'folder' | null {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'folder';
  return entry.isSymbolicLink() && statSync(path, { throwIfNoEntry: false })?.isFile() ? 'file' : null;
}

/** The data files below a path, in the best form that they have. */
function filesIn(listing: readonly string[], folder: string): DataFile[] {
  const prefix = folder === '' ? '' : `${folder}/`;
  const below = listing.filter((path) => path.startsWith(prefix) && isDataFile(path));
  const form = FORMS.find((one) => below.some((path) => one.test(path)));
  return form === undefined ? [] : below.filter((path) => form.test(path)).map(dataFile);
}

function dataFile(path: string): DataFile {
  const folders = path.split('/');
  const name = (folders.pop() ?? '').replace(/(\.[a-z]+)(\.gz)?$/i, '');
  const stem = name.replace(SHARD, '');
  const above = folders.at(-1) ?? '';
  const known = splitNamed(stem);
  const named = known ?? splitNamed(above);
  const config = (known === null && named !== null ? folders.slice(0, -1) : folders).join('/');
  return { path, config, split: named ?? stem, names: [stem, above] };
}

function splitNamed(name: string): string | null {
  return Object.entries(SPLITS).find(([, pattern]) => pattern.test(name))?.[0] ?? null;
}

/** Files whose name is that of the split, or else whose name means it. */
function filesOfSplit(files: readonly DataFile[], split: string): DataFile[] {
  const exact = files.filter(({ names }) => names.includes(split));
  if (exact.length > 0) return exact;
  const meant = splitNamed(split) ?? split;
  return files.filter((file) => file.split === meant);
}

function parentOf(path: string): string {
  return path.split('/').slice(0, -1).join('/');
}

/** Names that end in `-00001-of-00003` tell how many there are. */
function expectAllShards(source: string, paths: readonly string[]): void {
  const shards = paths.map((path) => SHARD.exec(path.replace(/(\.[a-z]+)(\.gz)?$/i, '')));
  const of = Number(shards[0]?.[2] ?? paths.length);
  if (paths.length >= of || shards.includes(null)) return;
  throw new UserError(
    'dataset/missing-shard',
    `${source} has ${paths.length} of the ${of} files that belong together: ${few(paths)}.`,
    'Fetch the others, or name one of these files.',
  );
}

function tooMany(folder: string): UserError {
  return new UserError(
    'dataset/too-many-files',
    `${folder} has more than ${MAX_FILES} files: it is hardly one data set.`,
    'Name the folder or the file itself.',
  );
}

function noFiles(source: string, path: string): UserError {
  return new UserError(
    'dataset/no-files',
    `${source} has no data files${path === '' ? '' : ` in ${path}`}: *.parquet, *.jsonl, *.json or *.txt.`,
    'Name a folder that has some. Many data sets have them at the revision refs/convert/parquet.',
  );
}

function noSplit(source: string, split: string, files: readonly DataFile[]): UserError {
  return new UserError(
    'dataset/no-split',
    `${source} has no split "${split}"; it has ${few(partsOf(files))}.`,
    'Name one of these.',
  );
}

function ambiguous(source: string, files: readonly DataFile[]): UserError {
  return new UserError(
    'dataset/ambiguous',
    `${source} has several parts: ${few(partsOf(files))}.`,
    'Name one: its folder behind the name of the data set, its split in "split".',
  );
}

function partsOf(files: readonly DataFile[]): string[] {
  const parts = files.map(({ config, split }) => (config === '' ? split : `${config} ${split}`));
  return [...new Set(parts)].sort();
}

const MOST_TOLD = 12;

function few(names: readonly string[]): string {
  const more = names.length > MOST_TOLD ? `, and ${names.length - MOST_TOLD} more` : '';
  return `${names.slice(0, MOST_TOLD).join(', ')}${more}`;
}
