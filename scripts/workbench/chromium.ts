import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { lastWords } from './install.ts';
import { holdLock } from './lock.ts';
import { Unavailable } from './unavailable.ts';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The reason, in one line, where Chromium is missing. */
export const NO_CHROMIUM = `no Chromium on the PATH (${NAMES.join(', ')}) or in CHROME_PATH`;

/** Returns the path of this machine's Chromium: the one in CHROME_PATH, else the first of the names on the PATH. */
export function chromiumHere(): string | null {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const named = process.env.CHROME_PATH;
  const paths = named ? [named] : NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return paths.find(isExecutable) ?? null;
}

/**
 * Works as {@link chromiumHere}. With CI=true, on a Debian where we are root, it installs a missing Chromium.
 * @throws Unavailable, whose message gives the reason in one line.
 */
export async function findChromium(): Promise<string> {
  const found = chromiumHere();
  if (found) return found;
  if (process.env.CI !== 'true' || process.getuid?.() !== 0 || !existsSync('/etc/debian_version'))
    throw new Unavailable(NO_CHROMIUM);
  const letGo = await holdLock(join(tmpdir(), 'spinquant-lab-chromium.lock'));
  try {
    if (!chromiumHere()) await installFromDebian();
  } finally {
    letGo();
  }
  const installed = chromiumHere();
  if (installed) return installed;
  throw new Unavailable(`apt-get installed chromium, but there is ${NO_CHROMIUM}`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function installFromDebian(): Promise<void> {
  console.error('Installing Chromium …');
  const run = promisify(execFile);
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, maxBuffer: 64 * 2 ** 20 };
  const packages = ['chromium', 'fonts-dejavu-core'];
  try {
    await run('apt-get', ['update'], options);
    await run('apt-get', ['install', '--yes', '--no-install-recommends', ...packages], options);
  } catch (error) {
    throw new Unavailable(`apt-get could not install Chromium: ${lastWords(error)}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await findChromium());
