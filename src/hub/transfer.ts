/** One file of a repository into its blob. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writing } from '../disk/faults.ts';
import { codeOf, throwIfCancelled, UserError } from '../protocol/errors.ts';
import { answered, persistently, type RequestContext, request, Unreachable } from './requests.ts';

/** A file that the Hub has, as it lists it. */
export interface HubFile {
  /** In the repository, with `/`. */
  readonly path: string;
  readonly size: number;
  /** The name of its blob: SHA-256 of large files, the object id of git for others. */
  readonly etag: string;
}

export interface Transfer {
  readonly context: RequestContext;
  readonly file: HubFile;
  readonly url: string;
  /** Path of the blob to make. */
  readonly blob: string;
}

/** Once more for a blob with the bytes of another: beyond this it is not by chance. */
const TRIES = 2;

/**
 * Downloads a file unless its blob is there, and goes on where an earlier attempt ended. Several processes may do so at
 * once: all write the same bytes to the same places of one file, which nobody ever shortens. Whoever has it whole
 * renames it; who comes later finds the blob.
 * @param told is called with the bytes that are there, after each piece.
 * @throws UserError `hub/damaged`, and those of {@link request}; Unreachable after the last attempt.
 */
export async function transfer(setting: Transfer, told: (bytes: number) => void): Promise<void> {
  const { file, blob, context } = setting;
  // Other tools append to partial files of their own, under a lock that Node does not have.
  const partial = `${blob}.spinquant.incomplete`;
  await writing(blob, () => mkdir(dirname(blob), { recursive: true }));
  for (let tried = 0; tried < TRIES; tried++) {
    let have = 0;
    await persistently(
      context,
      () => have,
      () =>
        fill(setting, partial, (bytes) => {
          have = bytes;
          told(bytes);
        }),
    );
    if (existsSync(blob) || (await finish(file, partial, blob))) return;
  }
  throw new UserError(
    'hub/damaged',
    `${file.path}, as ${context.endpoint} sends it, has other bytes than its checksum says.`,
    'Try again later, or without the proxy or mirror that stands between.',
  );
}

/** One attempt to get all bytes that are missing. */
async function fill(
  { context, file, url, blob }: Transfer,
  partial: string,
  told: (bytes: number) => void,
): Promise<void> {
  if (existsSync(blob)) return told(file.size);
  const handle = await writing(partial, () => openPartial(partial));
  try {
    const { size } = await handle.stat();
    // It cannot be of this file then. A new one takes its place, and who writes the old one is left alone.
    if (size > file.size) return await writing(partial, () => rm(partial, { force: true }));
    told(size);
    if (size < file.size) await receive(context, { file, url, handle, partial, from: size }, told);
  } finally {
    await handle.close();
  }
  if (!existsSync(partial) && !existsSync(blob)) throw new Unreachable('its partial file was removed');
}

/** For writing at any place, without shortening what is there. */
async function openPartial(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx+');
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  }
  try {
    return await open(path, 'r+');
  } catch (error) {
    // Another process had it whole just now: the next attempt finds the blob.
    throw hasCode(error, 'ENOENT') ? new Unreachable('its partial file was renamed') : error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return codeOf(error) === code;
}

interface Receiving {
  readonly file: HubFile;
  readonly url: string;
  readonly handle: FileHandle;
  readonly partial: string;
  readonly from: number;
}

async function receive(
  context: RequestContext,
  { file, url, handle, partial, from }: Receiving,
  told: (bytes: number) => void,
): Promise<void> {
  const quiet = new Quiet(context);
  try {
    const headers = { 'accept-encoding': 'identity', ...(from > 0 && { range: `bytes=${from}-` }) };
    const response = await request(context, url, { headers, signal: quiet.signal });
    // A server without ranges sends everything: the same bytes come to the same places.
    let at = response.status === 206 ? startOf(response, from) : 0;
    const body = response.body;
    if (body === null) throw new Unreachable(`${context.endpoint} sends ${file.path} without contents`);
    const chunks = body[Symbol.asyncIterator]();
    for (;;) {
      const next = await answered(context, () => chunks.next());
      throwIfCancelled(context.signal);
      if (next.done) break;
      quiet.heard();
      const bytes: Uint8Array = next.value;
      if (at + bytes.length > file.size)
        throw new Unreachable(`${file.path} is longer than ${file.size} bytes`);
      const position = at;
      await writing(partial, () => writeWhole(handle, bytes, position));
      at += bytes.length;
      told(at);
    }
    if (at < file.size)
      throw new Unreachable(`the connection to ${context.endpoint} was cut at byte ${at} of ${file.size}`);
  } finally {
    quiet.end();
  }
}

function startOf(response: Response, from: number): number {
  const [, start] = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '') ?? [];
  return start === undefined ? from : Number(start);
}

async function writeWhole(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let start = 0; start < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, start, bytes.length - start, position + start);
    start += bytesWritten;
  }
}

/** Aborts a request when nothing comes any more, or when the job is stopped. */
class Quiet {
  readonly #controller = new AbortController();
  readonly #context: RequestContext;
  #timer: NodeJS.Timeout;

  constructor(context: RequestContext) {
    this.#context = context;
    this.#timer = this.#wait();
    context.signal?.addEventListener('abort', this.#stop);
    if (context.signal?.aborted) this.#stop();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  heard(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#wait();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#context.signal?.removeEventListener('abort', this.#stop);
    this.#controller.abort();
  }

  readonly #stop = (): void => this.#controller.abort();

  #wait(): NodeJS.Timeout {
    const { silence } = this.#context.patience;
    const reason = new Error(`nothing came for ${silence} s`);
    return setTimeout(() => this.#controller.abort(reason), 1000 * silence);
  }
}

/** Turns a whole partial file into the blob. False where its bytes are not those of the checksum: it is removed. */
async function finish(file: HubFile, partial: string, blob: string): Promise<boolean> {
  const handle = await writing(partial, () => open(partial, 'r+').catch(unlessGone));
  if (handle === null) return existsSync(blob);
  try {
    const { size } = await handle.stat();
    // Another process began it anew.
    if (size < file.size) return false;
    if (size > file.size || !(await isRight(file, handle))) {
      await writing(partial, () => rm(partial, { force: true }));
      return false;
    }
    await writing(partial, () => handle.sync());
  } finally {
    await handle.close();
  }
  await writing(blob, () => rename(partial, blob).catch(unlessGone));
  return true;
}

/** Another process renamed it. */
function unlessGone(error: unknown): null {
  if (codeOf(error) === 'ENOENT') return null;
  throw error;
}

async function isRight({ size, etag }: HubFile, handle: FileHandle): Promise<boolean> {
  const isGit = /^[0-9a-f]{40}$/.test(etag);
  // Mirrors may name blobs otherwise.
  if (!isGit && !/^[0-9a-f]{64}$/.test(etag)) return true;
  const hash = createHash(isGit ? 'sha1' : 'sha256');
  if (isGit) hash.update(`blob ${size}\0`);
  for await (const chunk of handle.createReadStream({ start: 0, autoClose: false }))
    hash.update(chunk as Buffer);
  return hash.digest('hex') === etag;
}
