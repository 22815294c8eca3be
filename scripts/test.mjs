/**
 * `npm test` sets everything up, then checks types and lint and runs all tests.
 * `npm test -- test/runs` or a file runs only those tests, without types and lint. Tests run as bundles; without setting
 * up, `node --import tsx --test test/runs/*.test.ts` runs them from their sources.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { installPackages } from './install-packages.mjs';
import { ROOT, run, runBeside } from './project.mjs';
import { setUp } from './setup.mjs';

/** More files than these fail for a reason. */
const FEW = 3;
/** Files that run at a time: each may itself run ONNX Runtime on several threads. */
const AT_ONCE = 2;

const named = process.argv.slice(2);
const files = (named.length > 0 ? named : [join(ROOT, 'test')]).flatMap(testFilesIn);
await setUp();
if (process.env.CI === 'true') {
  installChromium();
  installPackages();
}
// From here on there is an esbuild.
const { buildTests } = await import('./build-tests.mjs');
const bundles = await buildTests(files);
const failed = named.length > 0 ? [] : await failedChecks();
if (!passes(bundles.filter((file) => !isEditorTest(file)))) failed.push('tests');
// These wait for a browser and a server most of the time, not for a processor.
if (!passes(bundles.filter(isEditorTest))) failed.push('tests in the editor');
if (failed.length > 0) {
  console.error(`Failed: ${failed.join(', ')}.`);
  process.exitCode = 1;
}

/** Elsewhere, tests that need a browser report that there is none. */
function installChromium() {
  const script = join('scripts', 'workbench', 'chromium.ts');
  if (run(process.execPath, ['--import', 'tsx', script]) !== 0) process.exit(1);
}

/** What fails beside others runs once more alone, as a busy machine delays processes and clocks; that is told. */
function passes(files) {
  const failed = failuresOf(files, AT_ONCE);
  if (failed.length === 0 || failed.length > FEW || named.length > 0) return failed.length === 0;
  console.log(`Failed, and run once more alone: ${failed.join(', ')}.`);
  if (failuresOf(failed, 1).length > 0) return false;
  console.log(`Unsteady, since alone they passed: ${failed.join(', ')}.`);
  return true;
}

/** The files whose tests failed; all of them where the test runner does not say which. */
function failuresOf(files, concurrency) {
  if (files.length === 0) return [];
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-tests-'));
  const list = join(folder, 'failed');
  const reporters = [
    ...['--test-reporter=spec', '--test-reporter-destination=stdout'],
    ...['--test-reporter=./scripts/failed-files.mjs', `--test-reporter-destination=${list}`],
  ];
  const args = ['--enable-source-maps', '--test', ...reporters, `--test-concurrency=${concurrency}`];
  const status = run(process.execPath, [...args, ...files]);
  const names = readFileSync(list, 'utf8').split('\n');
  rmSync(folder, { recursive: true });
  if (status === 0) return [];
  const failed = files.filter((file) =>
    names.some((name) => withoutEnding(name).endsWith(withoutEnding(file))),
  );
  return failed.length > 0 ? failed : files;
}

/** By source maps, a bundle may be called by the name of its source. */
function withoutEnding(file) {
  return file.replace(/^build\/tests\//, '').replace(/\.[jt]s$/, '');
}

function isEditorTest(file) {
  return file.includes(join('test', 'workbench'));
}

/** They run side by side: each has one thread most of the time. */
async function failedChecks() {
  const checks = [
    ['types', ['node_modules/typescript/bin/tsc', '--noEmit']],
    ['types of the panels', ['node_modules/typescript/bin/tsc', '--noEmit', '-p', 'webview']],
    ['lint', ['node_modules/@biomejs/biome/bin/biome', 'check', '--diagnostic-level=warn']],
  ];
  const statuses = await Promise.all(checks.map(([, command]) => runBeside(process.execPath, command)));
  return checks.filter((_, index) => statuses[index] !== 0).map(([name]) => name);
}

/** Node 20 does not take patterns, so this lists every `*.test.ts` below a folder, or the file itself. */
function testFilesIn(path) {
  const absolute = resolve(path);
  if (!existsSync(absolute)) {
    console.error(`There is no test file or folder ${path}.`);
    process.exit(1);
  }
  if (!statSync(absolute).isDirectory()) return [relative(ROOT, absolute)];
  return readdirSync(absolute, { recursive: true })
    .filter((name) => name.endsWith('.test.ts'))
    .sort()
    .map((name) => relative(ROOT, join(absolute, name)));
}
