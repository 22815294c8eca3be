/**
 * Runs the tests of the native operators on an addon that checks every access to memory (AddressSanitizer) and every
 * operation without a defined result (UndefinedBehaviorSanitizer). The first report ends a test's process, so it fails.
 * `npm run test:native:asan -- test/native/hadamard.test.ts` runs one file.
 */
import { execFile, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { buildNative, findCompiler, SANITIZED } from './build-native.mjs';
import { ROOT } from './project.mjs';

const run = promisify(execFile);
/** Calls of test/native/odd-calls.test.ts; the ordinary tests make fewer. */
const ODD_CALLS = '6000';

/** Returns the libraries that a process must load first, or why there are none. */
async function findLibraries() {
  if (process.platform !== 'linux') return { missing: 'only Linux can load a sanitizer into Node' };
  const compiler = await findCompiler();
  if (!compiler) return { missing: 'no C++ compiler was found' };
  const folder = await mkdtemp(path.join(os.tmpdir(), 'sanitizer-'));
  try {
    const [source, library] = [path.join(folder, 'empty.cc'), path.join(folder, 'empty.so')];
    await writeFile(source, 'int nothing() { return 0; }\n');
    await run(compiler.command, [...SANITIZED.flags, '-shared', '-fPIC', source, '-o', library]);
    // Exceptions of the addon pass through the first: the sanitizer looks for their functions when it starts.
    const names = ['libasan.so', 'libstdc++.so.6'];
    return { libraries: await Promise.all(names.map((name) => pathOf(compiler.command, name))) };
  } catch (error) {
    return { missing: `${compiler.command} has no sanitizers (${firstLine(error)})` };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The compiler prints the bare name of a library that it lacks. */
async function pathOf(compiler, name) {
  const { stdout } = await run(compiler, [`-print-file-name=${name}`]);
  if (!path.isAbsolute(stdout.trim())) throw new Error(`it lacks ${name}`);
  return realpath(stdout.trim());
}

const firstLine = (error) =>
  String(error.stderr || error.message)
    .trim()
    .split('\n')[0];

function testFiles() {
  const named = process.argv.slice(2);
  if (named.length > 0) return named;
  const folder = path.join(ROOT, 'test', 'native');
  const files = readdirSync(folder).filter((name) => name.endsWith('.test.ts'));
  return files.sort().map((name) => path.join('test', 'native', name));
}

function environment(libraries) {
  const redirect = pathToFileURL(path.join(ROOT, 'scripts', 'load-sanitized.mjs')).href;
  return {
    ...process.env,
    LD_PRELOAD: libraries.join(':'),
    // Node itself leaks, and V8 handles its own faults.
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=1',
    UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import ${redirect}`.trim(),
    SPINQUANT_SANITIZED: '1',
    SPINQUANT_ODD_CALLS: process.env.SPINQUANT_ODD_CALLS ?? ODD_CALLS,
  };
}

async function main() {
  const { libraries, missing } = await findLibraries();
  const built =
    missing === undefined ? await buildNative(SANITIZED) : { status: 'unavailable', reason: missing };
  if (built.status === 'unavailable') {
    console.log(`The native operators are not tested with sanitizers: ${built.reason}.`);
    return 0;
  }
  const args = ['--import', 'tsx', '--test', '--test-reporter=spec', '--test-concurrency=1', ...testFiles()];
  return spawnSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit', env: environment(libraries) })
    .status;
}

main().then(
  (code) => {
    process.exitCode = code ?? 1;
  },
  (error) => {
    console.error(error.stderr || error.message);
    process.exitCode = 1;
  },
);
