/**
 * `npm test` sets everything up, then checks types and lint and runs all tests.
 * `npm test -- test/runs` or a file runs only those tests, without types and lint. Tests run as bundles; without setting
 * up, `node --import tsx --test test/runs/*.test.ts` runs them from their sources.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { ROOT, run } from './project.mjs';
import { setUp } from './setup.mjs';

const named = process.argv.slice(2);
const files = (named.length > 0 ? named : [join(ROOT, 'test')]).flatMap(testFilesIn);
await setUp();
if (process.env.CI === 'true') installChromium();
// From here on there is an esbuild.
const { buildTests } = await import('./build-tests.mjs');
const bundles = await buildTests(files);
const failed = named.length > 0 ? [] : failedChecks();
// Two files run at a time, since each may itself run ONNX Runtime on several threads.
if (
  !passes(
    bundles.filter((file) => !isEditorTest(file)),
    2,
  )
)
  failed.push('tests');
// One file runs at a time, since each has its own browser, server and runs.
if (!passes(bundles.filter(isEditorTest), 1)) failed.push('tests in the editor');
if (failed.length > 0) {
  console.error(`Failed: ${failed.join(', ')}.`);
  process.exitCode = 1;
}

/** Elsewhere, tests that need a browser report that there is none. */
function installChromium() {
  const script = join('scripts', 'workbench', 'chromium.ts');
  if (run(process.execPath, ['--import', 'tsx', script]) !== 0) process.exit(1);
}

function passes(files, concurrency) {
  const args = ['--test', '--test-reporter=spec', `--test-concurrency=${concurrency}`];
  return files.length === 0 || run(process.execPath, ['--enable-source-maps', ...args, ...files]) === 0;
}

function isEditorTest(file) {
  return file.includes(join('test', 'workbench'));
}

function failedChecks() {
  const checks = [
    ['types', ['node_modules/typescript/bin/tsc', '--noEmit']],
    ['types of the panels', ['node_modules/typescript/bin/tsc', '--noEmit', '-p', 'webview']],
    ['lint', ['node_modules/@biomejs/biome/bin/biome', 'check', '--diagnostic-level=warn']],
  ];
  return checks.filter(([, command]) => run(process.execPath, command) !== 0).map(([name]) => name);
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
