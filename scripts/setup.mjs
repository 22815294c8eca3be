/** Prepares a plain clone to run: dependencies, bundle, native kernels. Up-to-date parts are left alone. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from './build.mjs';
import { ROOT, run } from './project.mjs';

const OLDEST_NODE = 20;

/** Sets up dependencies, native kernels and bundle. It ends the process with a message when a stage fails. */
export async function setUp() {
  requireNode();
  installDependencies();
  await buildNativeKernels();
  await build();
}

function requireNode() {
  const [major] = process.versions.node.split('.');
  if (Number(major) < OLDEST_NODE)
    fail(`Node ${OLDEST_NODE} or newer is needed; this is ${process.version}.`);
}

function installDependencies() {
  if (isInstalled()) return;
  console.error('Installing dependencies …');
  // onnxruntime-node would otherwise download CUDA libraries; its CPU library is inside the package.
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' };
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env.npm_execpath;
  const status = npm?.endsWith('.js')
    ? run(process.execPath, [npm, ...args], { env })
    : run('npm', args, { env, shell: process.platform === 'win32' });
  if (status !== 0) fail('npm ci failed: see above. A connection to the npm registry is needed once.');
}

/** Compares npm's list of installed packages with the lock file; packages for other platforms are optional. */
function isInstalled() {
  const installedPath = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(installedPath)) return false;
  const packagesIn = (path) => JSON.parse(readFileSync(path, 'utf8')).packages;
  const installed = packagesIn(installedPath);
  return Object.entries(packagesIn(join(ROOT, 'package-lock.json'))).every(([path, wanted]) => {
    if (path === '') return true;
    const found = installed[path];
    return found ? found.version === wanted.version && found.integrity === wanted.integrity : wanted.optional;
  });
}

async function buildNativeKernels() {
  const script = join(ROOT, 'scripts', 'build-native.mjs');
  if (!existsSync(script)) return;
  const { buildNative } = await import(pathToFileURL(script).href);
  if (!existsSync(join(ROOT, 'build', 'native')))
    console.error('Building native kernels: one to three minutes …');
  try {
    const { status, reason } = await buildNative();
    if (status === 'unavailable')
      console.error(`Without native kernels (${reason}): operators are composed of standard ones, slower.`);
  } catch (error) {
    fail(`The native kernels do not compile:\n${error.stderr || error.message}`);
  }
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await setUp();
