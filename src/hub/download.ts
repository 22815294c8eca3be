/** Fetches what a job needs of a repository into the cache, as far as it is not there. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, link, mkdir, readlink, rename, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { writing } from '../disk/faults.ts';
import { throwIfCancelled, UserError } from '../protocol/errors.ts';
import {
  cachedCommit,
  cachedDataset,
  cachedModel,
  isCommit,
  refFile,
  repositoryFolder,
  snapshotFolder,
} from './cache.ts';
import { isOffline } from './environment.ts';
import { describeAddress, describeRepository, type HubAddress } from './names.ts';
import { askCommit, endpointOf, listRepository } from './repository.ts';
import { HASTY, PATIENT, type Patience, type RequestContext, Unreachable, unreachable } from './requests.ts';
import { type HubFile, transfer } from './transfer.ts';
import { neededOfDataset, neededOfModel } from './wanted.ts';

/** What is asked for. */
export interface Wanted {
  readonly address: HubAddress;
  /** Of a data set; null where it has only one. */
  readonly split: string | null;
}

export type DownloadEvent =
  | { readonly type: 'progress'; readonly file: string; readonly bytesDone: number; readonly bytes: number }
  | { readonly type: 'warning'; readonly message: string; readonly hint: string };

export interface DownloadOptions {
  readonly signal?: AbortSignal | undefined;
  readonly patience?: Patience;
}

/** Progress is told so often. */
const TELL_MS = 250;

/**
 * Makes sure that the files are in the cache. A commit that is there asks nobody; of a branch or tag the Hub is asked
 * for its commit, and where it does not answer the cache serves, with a warning.
 * @throws UserError `hub/…`, `dataset/…`, and those of the disk; Cancelled.
 */
export async function* download(
  wanted: Wanted,
  { signal, patience = PATIENT }: DownloadOptions = {},
): AsyncGenerator<DownloadEvent, void> {
  const { address } = wanted;
  const known = cachedCommit(address);
  const isThere = known !== null && isCached(wanted, known);
  if (isThere && (isCommit(address.revision) || isOffline())) return;
  if (isOffline()) throw offline(address);
  const context = { address, endpoint: await endpointOf(), patience, signal };
  try {
    const hasty = isThere
      ? { ...context, patience: { ...HASTY, silence: Math.min(HASTY.silence, patience.silence) } }
      : context;
    const commit = await askCommit(hasty);
    if (!isCached(wanted, commit)) yield* fetchFiles(wanted, commit, context);
    await writeRef(address, commit);
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    if (!isThere) throw unreachable(address, error);
    yield notAsked(address, known, error);
  }
}

function isCached({ address, split }: Wanted, commit: string): boolean {
  const found =
    address.kind === 'model' ? cachedModel(address, commit) : cachedDataset(address, split, commit);
  return found !== null;
}

/** Links appear when all blobs are there, so that a snapshot never looks whole before. */
async function* fetchFiles(
  { address, split }: Wanted,
  commit: string,
  context: RequestContext,
): AsyncGenerator<DownloadEvent, void> {
  const listing = await listRepository(context, commit);
  const place = { ...context, commit, folder: repositoryFolder(address) };
  if (address.kind === 'dataset') {
    yield* fetchAll(place, neededOfDataset(address, split, listing));
    return;
  }
  const { small, weights } = neededOfModel(address, listing);
  yield* fetchAll(place, small);
  yield* fetchAll(place, await weights(join(snapshotFolder(address, commit))));
}

interface Place extends RequestContext {
  readonly commit: string;
  /** Of the repository in the cache. */
  readonly folder: string;
}

async function* fetchAll(place: Place, files: readonly HubFile[]): AsyncGenerator<DownloadEvent, void> {
  const { address, endpoint, commit, folder } = place;
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const blobOf = (file: HubFile) => join(folder, 'blobs', file.etag);
  let before = 0;
  for (const file of files) {
    throwIfCancelled(place.signal);
    const path = file.path.split('/').map(encodeURIComponent).join('/');
    const kind = address.kind === 'model' ? '' : 'datasets/';
    const url = `${endpoint}/${kind}${address.name}/resolve/${commit}/${path}`;
    const work = (told: (bytes: number) => void) =>
      transfer({ context: place, file, url, blob: blobOf(file) }, told);
    for await (const have of followed(work))
      yield { type: 'progress', file: file.path, bytesDone: before + have, bytes };
    before += file.size;
    yield { type: 'progress', file: file.path, bytesDone: before, bytes };
  }
  for (const file of files)
    await linkFile(blobOf(file), join(snapshotFolder(address, commit), ...file.path.split('/')));
}

/** Turns what work tells into values, at most one every {@link TELL_MS}. */
async function* followed(
  work: (told: (bytes: number) => void) => Promise<void>,
): AsyncGenerator<number, void> {
  let newest = 0;
  let said = 0;
  const running = work((bytes) => {
    newest = bytes;
  }).then(() => true);
  // A failure is thrown where it is waited for.
  running.catch(() => undefined);
  for (;;) {
    let timer: NodeJS.Timeout | undefined;
    const pause = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), TELL_MS);
    });
    try {
      if (await Promise.race([running, pause])) return;
    } finally {
      clearTimeout(timer);
    }
    if (newest !== said) yield newest;
    said = newest;
  }
}

/** Of this attempt alone: others may make the same file at the same time. */
function temporaryOf(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}.tmp`;
}

/** A relative link, as huggingface_hub makes it; a second name, or a copy, where links are not allowed. */
async function linkFile(blob: string, path: string): Promise<void> {
  const target = relative(dirname(path), blob);
  if (existsSync(path) && (await readlink(path).catch(() => target)) === target) return;
  await writing(path, async () => {
    await mkdir(dirname(path), { recursive: true });
    const temporary = temporaryOf(path);
    await symlink(target, temporary)
      .catch(() => link(blob, temporary))
      .catch(() => copyFile(blob, temporary));
    await rename(temporary, path);
  });
}

async function writeRef(address: HubAddress, commit: string): Promise<void> {
  if (isCommit(address.revision) || cachedCommit(address) === commit) return;
  const path = refFile(address);
  const temporary = temporaryOf(path);
  await writing(path, async () => {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(temporary, commit);
    await rename(temporary, path);
  });
}

function offline(address: HubAddress): UserError {
  return new UserError(
    'hub/offline',
    `${describeAddress(address)} is not in the cache, and HF_HUB_OFFLINE forbids to download it.`,
    `Unset HF_HUB_OFFLINE, or download it where there is a network: spinquant download ${describeAddress(address)}`,
  );
}

function notAsked(address: HubAddress, commit: string, error: Unreachable): DownloadEvent {
  return {
    type: 'warning',
    message: `${describeRepository(address)}: ${error.message}. The copy in the cache is used, commit ${commit.slice(0, 12)}.`,
    hint: 'It may be older than what the Hub has. HF_HUB_OFFLINE=1 asks nobody.',
  };
}
