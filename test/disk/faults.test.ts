import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { diskFault, expectWritable, reading, systemFault, writing } from '../../src/disk/faults.ts';
import { UserError } from '../../src/protocol/errors.ts';
import { temporaryFolder } from '../formats/support.ts';

/** An error as Node makes it. */
const systemError = (code: string, more: object = {}) =>
  Object.assign(new Error(`${code}: as the system says it`), { code, ...more });

test('errors of the system become words with path and reason', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const cases: [() => Promise<unknown>, string, RegExp][] = [
    [() => reading(join(folder, 'no'), () => readFile(join(folder, 'no'))), 'unreadable', /does not exist/],
    [() => reading(folder, () => readFile(folder)), 'unreadable', /it is a folder/],
    [
      () => reading(join(file, 'x'), () => readFile(join(file, 'x'))),
      'unreadable',
      /is a file, not a folder/,
    ],
    [() => writing(join(folder, 'no/x'), () => mkdir(join(folder, 'no/x'))), 'unwritable', /no such folder/],
    [() => writing('long', () => mkdir(join(folder, 'n'.repeat(300)))), 'unwritable', /name is too long/],
    [() => reading('nul', () => readFile('a\0b')), 'unreadable', /NUL character/],
  ];
  for (const [act, code, message] of cases)
    await assert.rejects(act, (error) => {
      assert.ok(error instanceof UserError, String(error));
      assert.equal(error.code, `file/${code}`);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /E[A-Z]{4,}/, 'no code of the system');
      assert.notEqual(error.hint, '');
      return true;
    });
});

test('a bug stays a bug, whatever its code', () => {
  for (const error of [
    new RangeError('a bug'),
    systemError('ERR_INVALID_ARG_TYPE'),
    systemError('ERR_INVALID_ARG_VALUE'),
    'no error at all',
  ]) {
    assert.equal(diskFault(error, 'x', 'read'), error);
    assert.equal(systemFault(error), error);
  }
  const user = new UserError('a/b', 'said already', 'do this');
  assert.equal(systemFault(user), user);
});

test('front doors read path and use off the error itself', () => {
  const words = (error: unknown) => (systemFault(error) as Error).message;
  assert.equal(
    words(systemError('ENOSPC', { syscall: 'write' })),
    'A file cannot be written: the disk is full.',
  );
  assert.equal(
    words(systemError('EACCES', { syscall: 'open', path: '/x' })),
    '/x cannot be opened: you have no permission.',
  );
  assert.equal(
    words(systemError('EPERM', { syscall: 'rename', path: '/x.tmp', dest: '/x' })),
    '/x cannot be written: the system does not permit it.',
  );
  assert.equal(words(systemError('EIO', { syscall: 'read' })), 'A file cannot be read: the disk failed.');
});

test('whether a result could be written is known before the work', (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'sub'));
  assert.doesNotThrow(() => expectWritable(join(folder, 'new.json')));
  assert.throws(() => expectWritable(join(folder, 'sub')), /cannot be written: it is a folder/);
  assert.throws(() => expectWritable(join(folder, 'no/x.json')), /there is no such folder/);
  assert.throws(() => readFileSync(join(folder, 'new.json')), 'nothing was made');
});
