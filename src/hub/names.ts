/** Names of models and data sets on the Hub, as people write them in an experiment. */
import { isAbsolute } from 'node:path';

/** A repository at a revision, and a place in it. */
export interface HubAddress {
  readonly kind: 'model' | 'dataset';
  /** `org/name`. */
  readonly name: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** Folder, file or split in it, with `/`; empty for the whole. */
  readonly path: string;
}

const SCHEME = 'hf://';
const DEFAULT_REVISION = 'main';
/** The Hub allows these characters; a name never begins with a dot. */
const NAME = '[A-Za-z0-9][\\w.-]{0,95}/[A-Za-z0-9][\\w.-]{0,95}';
/** Pull requests and conversions have a slash in their names. */
const REVISION = '(?:refs/(?:pr/\\d+|convert/[\\w-]+)|[^/@\\s]{1,100})';
const MODEL = new RegExp(`^(?:${SCHEME})?(${NAME})(?:@(${REVISION}))?$`);
const DATASET = new RegExp(`^${SCHEME}datasets/(${NAME})(?:@(${REVISION}))?(?:/(.*))?$`);

/** True for what can only be an address on the Hub, right or wrong. */
export function isHubAddress(text: string): boolean {
  return text.startsWith(SCHEME);
}

/** `org/name`, `org/name@revision`, each also behind `hf://`; null for anything else. */
export function parseModelName(text: string): HubAddress | null {
  const [, name, revision] = MODEL.exec(text) ?? [];
  return addressOf('model', name, revision, '');
}

/** `hf://datasets/org/name@revision/path`, where revision and path may be left out; null for anything else. */
export function parseDatasetAddress(text: string): HubAddress | null {
  const [, name, revision, path] = DATASET.exec(text) ?? [];
  return addressOf('dataset', name, revision, (path ?? '').replace(/\/+$/, ''));
}

function addressOf(
  kind: HubAddress['kind'],
  name: string | undefined,
  written: string | undefined,
  path: string,
): HubAddress | null {
  const revision = decoded(written ?? DEFAULT_REVISION);
  if (name === undefined || revision === null) return null;
  // Both become parts of paths on the disk.
  if ([...revision.split('/'), ...path.split('/')].some((part) => part === '..' || part === '.')) return null;
  if (/[\0\\]/.test(revision + path) || isAbsolute(revision)) return null;
  return { kind, name, revision, path };
}

/** `refs%2Fpr%2F1` is `refs/pr/1`; null where a percent sign is none of an encoding. */
function decoded(revision: string): string | null {
  try {
    return decodeURIComponent(revision);
  } catch {
    return null;
  }
}

/** The address as a person would write it, without its path. */
export function describeRepository({ kind, name, revision }: HubAddress): string {
  const at = revision === DEFAULT_REVISION ? '' : `@${revision}`;
  return kind === 'model' ? `${name}${at}` : `${SCHEME}datasets/${name}${at}`;
}

/** The address as a person would write it. */
export function describeAddress(address: HubAddress): string {
  return `${describeRepository(address)}${address.path === '' ? '' : `/${address.path}`}`;
}
