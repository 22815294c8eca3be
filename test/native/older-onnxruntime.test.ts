/** Programs that exported models are run by may have an older ONNX Runtime than ours, which lacks some functions. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findCompiler } from '../../scripts/build-native.mjs';
import { ortLibraryPath } from '../../src/engine/runtime/addon.ts';
import { programArguments } from '../helpers/program.ts';
import { notBuilt, sanitized } from './support.ts';

const compiler = await findCompiler();
const skip =
  notBuilt ||
  (compiler === undefined && 'there is no C++ compiler') ||
  (process.platform === 'win32' && 'libraries are loaded in another way') ||
  (sanitized && 'a sanitizer writes to standard error, too');

function run(command: string, args: readonly string[]): string {
  const env = { ...process.env, SPINQUANT_ONNXRUNTIME: ortLibraryPath() };
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env });
  assert.deepEqual([status, stderr], [0, '']);
  return stdout;
}

test('an operator finds the shapes of its tensors in an older ONNX Runtime, too', { skip }, (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-older-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const older = join(folder, 'libolder.so');
  const source = fileURLToPath(new URL('older-onnxruntime.cc', import.meta.url));
  run(compiler!.command, ['-std=c++17', '-shared', '-fPIC', source, '-o', older]);
  const program = programArguments(new URL('run-operator.ts', import.meta.url));
  const [own, other] = [ortLibraryPath()!, older].map((library) =>
    JSON.parse(run(process.execPath, [...program, library])),
  );
  assert.equal(other.version, '1.22.0');
  assert.notEqual(own.version, other.version);
  assert.deepEqual(other.y, own.y);
  assert.ok(own.y.some((value: number) => value > 0));
});
