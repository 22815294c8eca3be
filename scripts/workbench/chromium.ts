import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { lastWords } from './install.ts';
import { Unavailable } from './unavailable.ts';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/**
 * Path of a Chromium: what CHROME_PATH names, else the first on the PATH. With CI=true on a Debian where we are root
 * a missing one is installed.
 * @throws Unavailable, whose message says in one line why there is none.
 */
export async function findChromium(): Promise<string> {
  const named = process.env.CHROME_PATH;
  if (named !== undefined) {
    if (isExecutable(named)) return named;
    throw new Unavailable(`CHROME_PATH names ${named}, which is no program`);
  }
  const found = onPath();
  if (found) return found;
  if (process.env.CI !== 'true' || process.getuid?.() !== 0 || !existsSync('/etc/debian_version'))
    throw new Unavailable(`no Chromium on the PATH (${NAMES.join(', ')}) or in CHROME_PATH`);
  await installFromDebian();
  const installed = onPath();
  if (installed) return installed;
  throw new Unavailable('apt-get installed chromium, but it is not on the PATH');
}

function onPath(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
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
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const run = promisify(execFile);
  const options = { env, maxBuffer: 64 * 2 ** 20 };
  try {
    await run('apt-get', ['update'], options);
    await run(
      'apt-get',
      ['install', '--yes', '--no-install-recommends', 'chromium', 'fonts-dejavu-core'],
      options,
    );
  } catch (error) {
    throw new Unavailable(`apt-get could not install Chromium: ${lastWords(error)}`);
  }
}
