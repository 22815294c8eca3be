/** Questions about a repository, through the library of Hugging Face. It is loaded when it is first needed. */
import { UserError } from '../protocol/errors.ts';
import { ownEndpoint } from './environment.ts';
import { describeRepository } from './names.ts';
import { persistently, type RequestContext, request } from './requests.ts';
import type { HubFile } from './transfer.ts';

/** The address that requests go to. @throws UserError `hub/endpoint`. */
export async function endpointOf(): Promise<string> {
  const { HUB_URL } = await import('@huggingface/hub');
  const own = ownEndpoint();
  if (own === null) return HUB_URL;
  if (URL.canParse(own) && /^https?:$/.test(new URL(own).protocol)) return own;
  throw new UserError(
    'hub/endpoint',
    `HF_ENDPOINT is "${own}", which is no address.`,
    'Write it as https://HOST, or unset it.',
  );
}

/** The commit that the revision of the repository means now. */
export async function askCommit(context: RequestContext): Promise<string> {
  const { modelInfo, datasetInfo } = await import('@huggingface/hub');
  const { kind, name, revision } = context.address;
  const question = { name, revision, additionalFields: ['sha' as const], ...through(context) };
  const { sha } = await persistently(context, once, () =>
    kind === 'model' ? modelInfo(question) : datasetInfo(question),
  );
  // It becomes the name of a folder.
  if (/^[0-9a-f]{40}$/.test(String(sha))) return sha;
  throw oddAnswer(context, `the commit ${JSON.stringify(sha)}; a commit has 40 hexadecimal digits`);
}

/** All files of a commit. */
export async function listRepository(context: RequestContext, commit: string): Promise<HubFile[]> {
  const { listFiles } = await import('@huggingface/hub');
  const { kind, name } = context.address;
  return persistently(context, once, async () => {
    const files: HubFile[] = [];
    const listing = listFiles({
      repo: { type: kind, name },
      revision: commit,
      recursive: true,
      ...through(context),
    });
    for await (const { type, path, size, oid, lfs } of listing)
      if (type === 'file') files.push(checked(context, { path, size, etag: lfs?.oid ?? oid ?? '' }));
    return files;
  });
}

/** A question brings its answer or nothing. */
const once = (): number => 0;

/** The library's requests are ours: it knows neither patience nor words. */
function through(context: RequestContext): { readonly hubUrl: string; readonly fetch: typeof fetch } {
  const silence = 1000 * context.patience.silence;
  return {
    hubUrl: context.endpoint,
    fetch: (url) => {
      const timeout = AbortSignal.timeout(silence);
      const signal = context.signal ? AbortSignal.any([context.signal, timeout]) : timeout;
      return request(context, url instanceof Request ? url.url : String(url), { signal });
    },
  };
}

/** What the server says becomes paths on the disk. */
function checked(context: RequestContext, file: HubFile): HubFile {
  const { path, size, etag } = file;
  const isInside = !/[\\\0:]|^\/|(^|\/)\.{0,2}(\/|$)/.test(path);
  if (isInside && Number.isSafeInteger(size) && size >= 0 && /^[\w-]{8,128}$/.test(etag)) return file;
  const allowed =
    'a path stays in the repository, a size is a whole number, a checksum has 8 to 128 characters';
  throw oddAnswer(context, `the file ${JSON.stringify(file)}; ${allowed}`);
}

function oddAnswer({ address, endpoint }: RequestContext, what: string): UserError {
  return new UserError(
    'hub/odd-answer',
    `${endpoint} answered for ${describeRepository(address)} with ${what}.`,
    'Check HF_ENDPOINT.',
  );
}
