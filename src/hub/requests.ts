/** Requests to the Hub: as whom, how often, and what its answers mean for a person. */
import { Cancelled, cancelledBy, messageOf, throwIfCancelled, UserError } from '../protocol/errors.ts';
import { accessToken } from './environment.ts';
import { describeRepository, type HubAddress } from './names.ts';

/** How patient requests are; tests have less time. */
export interface Patience {
  /** Attempts in a row that bring nothing. */
  readonly attempts: number;
  /** Seconds before the second attempt; each further one waits twice as long. */
  readonly pause: number;
  /** Seconds without a byte after which a connection counts as cut. */
  readonly silence: number;
}

export const PATIENT: Patience = { attempts: 6, pause: 1, silence: 30 };
/** Where a copy is in the cache, nobody is waited for long. A connection kept open may be stale: one more attempt tells. */
export const HASTY: Patience = { attempts: 2, pause: 0.1, silence: 10 };
/** A server may ask to wait; beyond this a person decides. */
const LONGEST_PAUSE = 300;

/** The Hub cannot be reached, or is not able to answer; the next attempt may succeed. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';
  /** Seconds that the server asks to wait; null where it does not say. */
  readonly wait: number | null;

  constructor(message: string, wait: number | null = null) {
    super(message);
    this.wait = wait;
  }
}

export interface RequestContext {
  readonly address: HubAddress;
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly patience: Patience;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks once. The token goes to the endpoint only: redirects to other hosts lose it.
 * @throws Unreachable where another attempt may help; UserError `hub/…` where the answer is final; Cancelled.
 */
export async function request(
  context: RequestContext,
  url: string,
  init: {
    readonly headers?: Readonly<Record<string, string>> | undefined;
    readonly signal?: AbortSignal | undefined;
  } = {},
): Promise<Response> {
  const headers = new Headers(init.headers);
  const token = accessToken();
  if (token !== null && isOf(context.endpoint, url)) headers.set('authorization', `Bearer ${token}`);
  const response = await answered(context, () => fetch(url, { headers, signal: init.signal ?? null }));
  if (response.ok) return response;
  await response.body?.cancel();
  throw faultOf(context, response, token !== null);
}

function isOf(endpoint: string, url: string): boolean {
  return URL.canParse(url) && new URL(url).origin === new URL(endpoint).origin;
}

/** Errors of the network as {@link Unreachable}. */
export async function answered<T>({ endpoint, signal }: RequestContext, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throwIfCancelled(signal);
    if (error instanceof UserError || error instanceof Unreachable) throw error;
    throw new Unreachable(`${endpoint} does not answer (${causeOf(error)})`);
  }
}

/** `fetch failed` has the reason inside. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (!(cause instanceof Error)) return messageOf(error);
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : messageOf(cause);
}

/**
 * Tries until it succeeds, as long as attempts bring something.
 * @param progress a number that grows when an attempt brought something.
 */
export async function persistently<T>(
  { patience, signal }: RequestContext,
  progress: () => number,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let failed = 0; ; ) {
    const before = progress();
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      failed = progress() > before ? 1 : failed + 1;
      const pause = Math.max(error.wait ?? 0, patience.pause * 2 ** (failed - 1));
      if (failed >= patience.attempts || pause > LONGEST_PAUSE) throw error;
      await sleep(pause, signal);
    }
  }
}

function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal ? cancelledBy(signal) : new Cancelled());
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, 1000 * seconds);
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) stop();
  });
}

/** For whoever gave up: the same for a person. */
export function unreachable(address: HubAddress, error: Unreachable): UserError {
  return new UserError(
    'hub/unreachable',
    `${describeRepository(address)} cannot be downloaded: ${error.message}.`,
    'Look at the network (HF_ENDPOINT names another address), then start again: what was downloaded is kept.',
  );
}

function faultOf({ address, endpoint }: RequestContext, response: Response, hasToken: boolean): Error {
  const { status, headers } = response;
  const code = headers.get('x-error-code') ?? '';
  if (status === 429 || status === 408 || status >= 500)
    return new Unreachable(
      `${endpoint} answers ${status}${status === 429 ? ', too many requests' : ''}`,
      secondsOf(headers.get('retry-after')),
    );
  const name = describeRepository(address);
  const page = `${endpoint}/${address.kind === 'model' ? '' : 'datasets/'}${address.name}`;
  if (code === 'GatedRepo' || (status === 403 && code === '')) return gated(name, page, hasToken);
  if (code === 'RevisionNotFound')
    return new UserError(
      'hub/no-revision',
      `${name}: there is no revision "${address.revision}" at ${page}.`,
      'Name a branch, a tag or a commit of it behind @, or leave @ out.',
    );
  if (status === 401 || status === 403) return unauthorized(name, page, status, hasToken);
  if (status === 404) return notFound(name, page, hasToken);
  return new UserError(
    'hub/refused',
    `${name}: ${endpoint} answers ${status}${code === '' ? '' : ` (${code})`}.`,
    'Check HF_ENDPOINT, or try again later.',
  );
}

const LOGIN = 'set HF_TOKEN to a token of yours, or log in with "hf auth login"';

function gated(name: string, page: string, hasToken: boolean): UserError {
  return new UserError(
    'hub/gated',
    `${name} is gated: it is given to people who accepted its terms${hasToken ? ', and the token here is not of one' : ', and there is no token here'}.`,
    `Accept the terms at ${page}, then ${LOGIN}.`,
  );
}

/** Without a token the Hub does not tell a private repository from none. */
function unauthorized(name: string, page: string, status: number, hasToken: boolean): UserError {
  return new UserError(
    'hub/unauthorized',
    `${name}: the Hub answers ${status}. ${hasToken ? 'The token may not read it, or it does not exist' : 'It does not exist, or it is private'}.`,
    `Check the name at ${page}. If it is private, ${LOGIN}.`,
  );
}

function notFound(name: string, page: string, hasToken: boolean): UserError {
  return new UserError(
    'hub/not-found',
    `${name}: there is nothing at ${page}${hasToken ? '' : ', or it is private'}.`,
    `Check the name. A folder on this disk is named from the folder of the experiment file.${hasToken ? '' : ` If it is private, ${LOGIN}.`}`,
  );
}

/** Seconds, or a date. */
function secondsOf(text: string | null): number | null {
  if (text === null) return null;
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}
