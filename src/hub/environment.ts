/** The variables that tools of Hugging Face share: where the cache lies, whom to ask, and as whom. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

type Variables = Readonly<Record<string, string | undefined>>;

/** The folder of models and data sets, as huggingface_hub finds it. */
export function cacheFolder(variables: Variables = process.env): string {
  return expanded(
    variables.HF_HUB_CACHE || variables.HUGGINGFACE_HUB_CACHE || join(homeFolder(variables), 'hub'),
  );
}

function homeFolder(variables: Variables): string {
  return expanded(
    variables.HF_HOME || join(variables.XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface'),
  );
}

function expanded(path: string): string {
  return resolve(path.replace(/^~(?=\/|\\|$)/, homedir()));
}

/** The token of HF_TOKEN, or of a login; null where there is none. */
export function accessToken(variables: Variables = process.env): string | null {
  const named = variables.HF_TOKEN?.trim() || variables.HUGGING_FACE_HUB_TOKEN?.trim();
  if (named) return named;
  const path = variables.HF_TOKEN_PATH || join(homeFolder(variables), 'token');
  try {
    return readFileSync(expanded(path), 'utf8').trim() || null;
  } catch {
    return null; // Nobody has logged in here.
  }
}

/** True where no request may be made. */
export function isOffline(variables: Variables = process.env): boolean {
  return /^(1|true|yes|on)$/i.test(variables.HF_HUB_OFFLINE ?? '');
}

/** Another address than that of the Hub, without a slash at its end; null for the Hub itself. */
export function ownEndpoint(variables: Variables = process.env): string | null {
  return variables.HF_ENDPOINT?.trim().replace(/\/+$/, '') || null;
}
