import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import { expectKind, fileKind, type WantedKind } from '../../src/disk/file-kind.ts';
import type { KindName } from '../../src/disk/kinds.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { writeTorchTensors } from '../../src/formats/torch-zip-write.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';

const POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 1234\n`;
const PAGE = '<!DOCTYPE html>\n<html><body>Sign in</body></html>';

const CONTENTS: readonly (readonly [KindName, string | Uint8Array])[] = [
  ['lfs-pointer', POINTER],
  ['annex-pointer', '/annex/objects/SHA256E-s12--ab.bin\n'],
  ['html', PAGE],
  ['html', '\n  <html lang="en">'],
  ['hub-answer', 'Entry not found'],
  ['hub-answer', '{"error":"Invalid credentials in Authorization header"}'],
  ['gguf', 'GGUF\x03\0\0\0'],
  ['parquet', 'PAR1\x15\x04'],
  ['packed', gzipSync('a text')],
  ['utf16', Buffer.from('\ufeffa text', 'utf16le')],
  ['llama2c', Buffer.from([0x32, 0x34, 0x6b, 0x61, 1, 0, 0, 0])],
  ['pickle', Buffer.from([0x80, 0x02, 0x7d, 0x2e])],
  ['zip', 'PK\x03\x04 and more'],
  ['json', '{"a": 1}'],
  ['json', '\ufeff[1]'],
  ['text', 'once upon a time'],
  ['text', `${'x'.repeat(1022)}äöü`],
  ['text', `Access to models is a long story. ${'It goes on. '.repeat(200)}`],
  ['binary', Buffer.from([1, 2, 3, 0, 0, 0])],
  ['binary', Buffer.from([0xc3, 0x28, 0x80, 0x81, 0x82, 0x83, 0x84])],
  ['empty', ''],
];

test('a file tells its kind by its first bytes', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'file');
  for (const [kind, contents] of CONTENTS) {
    writeFileSync(file, contents);
    assert.equal(fileKind(file).name, kind, String(contents).slice(0, 40));
  }
  await writeSafetensors(file, { a: float32([2], Float32Array.of(1, 2)) });
  assert.equal(fileKind(file).name, 'safetensors');
  await writeTorchTensors(file, { a: float32([2], Float32Array.of(1, 2)) });
  assert.equal(fileKind(file).name, 'torch');
});

test('what is no file is named, and never opened', (t) => {
  const folder = temporaryFolder(t);
  assert.equal(fileKind(folder).name, 'folder');
  assert.equal(fileKind(join(folder, 'no')).name, 'missing');
  symlinkSync(join(folder, 'gone'), join(folder, 'link'));
  assert.match(fileKind(join(folder, 'link')).words, /a link to .*gone, which is not there/);
  if (process.platform === 'win32') return;
  assert.equal(fileKind('/dev/zero').name, 'pipe');
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  assert.equal(fileKind(join(folder, 'pipe')).name, 'pipe');
});

test('a file in the wrong place: what it is, what is expected, what helps', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'file');
  mkdirSync(join(folder, 'sub'));
  const cases: readonly (readonly [string, WantedKind, RegExp])[] = [
    [POINTER, 'safetensors', /is a Git LFS pointer, not the file itself; a safetensors file is expected/],
    [POINTER, 'json', /Git LFS pointer.*a JSON file is expected/],
    [POINTER, 'gguf', /Git LFS pointer.*a GGUF file is expected/],
    [POINTER, 'text', /Git LFS pointer.*a text in UTF-8 is expected/],
    [PAGE, 'json', /is a web page/],
    [PAGE, 'torch', /is a web page/],
    ['GGUF\x03\0\0\0', 'experiment', /is a GGUF file; an experiment file/],
    ['GGUF\x03\0\0\0', 'rotations', /is a GGUF file/],
    ['once upon a time', 'weights', /is a text; a GGUF file or a llama2\.c checkpoint is expected/],
    ['PAR1\x15\x04', 'text', /is a parquet file/],
  ];
  for (const [contents, wanted, message] of cases) {
    writeFileSync(file, contents);
    await rejectsWith(() => expectKind(file, wanted), 'file/kind', message);
  }
  await rejectsWith(() => expectKind(join(folder, 'sub'), 'text'), 'file/kind', /is a folder/);
});
