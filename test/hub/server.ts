/** A small Hub on this machine: repositories that a test makes, with faults that it asks for. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { temporaryFolder } from '../formats/support.ts';

export interface Repository {
  /** `models/org/name`, `datasets/org/name`. */
  readonly name: string;
  commit: string;
  readonly files: Readonly<Record<string, Buffer>>;
}

/** What a request gets instead of its answer. */
export interface Fault {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** The connection is cut behind so many bytes of the body. */
  readonly cutAfter?: number;
  /** Nothing more is sent behind so many bytes. */
  readonly silentAfter?: number;
  /** These bytes come instead of those of the file. */
  readonly body?: Buffer;
  readonly ignoreRange?: boolean;
}

export interface Hub {
  readonly url: string;
  readonly home: string;
  /** `GET /path bytes=5-`, in their order. */
  readonly requests: string[];
  readonly tokens: (string | undefined)[];
  /** Is asked about every request. */
  fault: (path: string, count: number) => Fault | null;
  close(): Promise<void>;
}

/** Starts a Hub, and makes this process use it with a cache of its own. */
export async function startHub(t: TestContext, repositories: readonly Repository[]): Promise<Hub> {
  const home = temporaryFolder(t);
  const requests: string[] = [];
  const tokens: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? '').split('?')[0] ?? '');
    requests.push([request.method, path, request.headers.range].filter(Boolean).join(' '));
    tokens.push(request.headers.authorization);
    answer(request, response, repositories, path, hub.fault(path, requests.length));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const hub: Hub = {
    url: `http://127.0.0.1:${address.port}`,
    home,
    requests,
    tokens,
    fault: () => null,
    close: () => closed(server),
  };
  for (const name of Object.keys(process.env)) if (/^(HF_|HUGGING)/.test(name)) delete process.env[name];
  Object.assign(process.env, { HF_HOME: home, HF_ENDPOINT: hub.url });
  t.after(() => hub.close());
  return hub;
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  repositories: readonly Repository[],
  path: string,
  fault: Fault | null,
): void {
  if (fault?.status !== undefined) {
    response.writeHead(fault.status, fault.headers).end('no');
    return;
  }
  const found = repositories.flatMap((one) => bodyOf(one, path) ?? [])[0];
  if (found === undefined) {
    response.writeHead(404, { 'x-error-code': 'RepoNotFound' }).end('Repository not found');
    return;
  }
  send(request, response, fault?.body ?? found, fault ?? {});
}

/** The answer to a path, if it is one of the repository's. */
function bodyOf({ name, commit, files }: Repository, path: string): Buffer | null {
  if (new RegExp(`^/api/${name}/revision/`).test(path))
    return Buffer.from(JSON.stringify({ _id: '1', id: name, sha: commit }));
  if (path === `/api/${name}/tree/${commit}`)
    return Buffer.from(JSON.stringify(Object.entries(files).map(([file, bytes]) => listed(file, bytes))));
  const prefix = `/${name.replace(/^models\//, '')}/resolve/${commit}/`;
  return path.startsWith(prefix) ? (files[path.slice(prefix.length)] ?? null) : null;
}

function listed(path: string, bytes: Buffer) {
  const oid = gitOid(bytes);
  const lfs = { oid: createHash('sha256').update(bytes).digest('hex'), size: bytes.length, pointerSize: 1 };
  return { type: 'file', path, size: bytes.length, oid, ...(path.endsWith('.safetensors') && { lfs }) };
}

/** A client drops what it has not read when a connection breaks. */
const CUT_AFTER_MS = 50;

export function gitOid(bytes: Buffer): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}

function send(request: IncomingMessage, response: ServerResponse, body: Buffer, fault: Fault): void {
  const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? [];
  const isPart = from !== undefined && !fault.ignoreRange;
  const part = isPart ? body.subarray(Number(from)) : body;
  response.writeHead(isPart ? 206 : 200, {
    'content-type': 'application/json',
    'content-length': part.length,
    ...(isPart && { 'content-range': `bytes ${from}-${body.length - 1}/${body.length}` }),
  });
  const sent = fault.cutAfter ?? fault.silentAfter;
  if (sent === undefined) {
    response.end(part);
    return;
  }
  response.write(part.subarray(0, sent), () => {
    // What was sent has time to be read, so that the next request asks for what is behind it.
    if (fault.cutAfter !== undefined) setTimeout(() => request.socket.destroySoon(), CUT_AFTER_MS);
  });
}
