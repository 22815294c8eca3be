/** A mapped file that is lost in the middle of a computation ends the process with a line that names it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { LOST_FILE } from '../../src/protocol/exit-codes.ts';
import { programArguments } from '../helpers/program.ts';
import { notBuilt, sanitized } from './support.ts';

function lose(t: TestContext, way: string, name = 'model-00001-of-00002.safetensors') {
  const folder = mkdtempSync(join(tmpdir(), 'spinquant-lost-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, name);
  writeFileSync(file, new Float32Array(2 ** 20).fill(-3));
  const program = programArguments(new URL('lose-file.ts', import.meta.url));
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [...program, file, way], {
    encoding: 'utf8',
  });
  assert.match(stdout, /^computed 3\n/, stderr);
  return { file, status, signal, stdout, stderr };
}

test('a mapped file that is truncated ends the process with its name and what to do', {
  skip: notBuilt,
}, (t) => {
  const { file, status, stdout, stderr } = lose(t, 'truncate');
  assert.equal(status, LOST_FILE.exitCode, stderr);
  assert.doesNotMatch(stdout, /again/);
  const lines = stderr.split('\n').filter((line) => line.startsWith(LOST_FILE.lineStart));
  assert.deepEqual(lines, [
    `${LOST_FILE.lineStart}${file} was truncated, or its disk failed, while it was read. Restore the file, let nothing write to it during a run, then resume the run.`,
  ]);
});

test('a name of several bytes a letter is written as it is', { skip: notBuilt }, (t) => {
  const { file, stderr } = lose(t, 'truncate', 'modèle 模型.safetensors');
  assert.ok(stderr.includes(`${LOST_FILE.lineStart}${file} was truncated`), stderr);
});

test('a signal that another process sends ends this one as ever', {
  // A sanitizer has a handler of its own.
  skip: notBuilt || (sanitized && 'a sanitizer reports the signal'),
}, (t) => {
  const { signal, stderr } = lose(t, 'signal');
  assert.equal(signal, 'SIGBUS');
  assert.doesNotMatch(stderr, /truncated/);
});

test('WebAssembly still finds its own faults', { skip: notBuilt }, (t) => {
  const { status, stdout } = lose(t, 'wasm');
  assert.equal(status, 0);
  assert.match(stdout, /memory access out of bounds\ncomputed again/);
});
