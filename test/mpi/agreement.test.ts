/** What ranks tell each other, met in memory. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { expectSame, fromLeader, leaderFirst, NotToTell } from '../../src/engine/distributed/agreement.ts';
import { mirrorFolder } from '../../src/engine/distributed/mirror.ts';
import { gatherNumbers, ONE_RANK } from '../../src/engine/distributed/ranks.ts';
import { UserError } from '../../src/protocol/errors.ts';
import { onRanksInMemory } from '../helpers/ranks.ts';

const folder = mkdtempSync(join(tmpdir(), 'spinquant-ranks-'));
after(() => rmSync(folder, { recursive: true }));

test('ranks that differ all get the same error, which names both', async () => {
  const versions = ['1.0', '1.0', '1.1'];
  const errors = await onRanksInMemory(3, (ranks) =>
    expectSame(ranks, { model: 'a', version: versions[ranks.rank]! }).then(
      () => null,
      (error: unknown) => error,
    ),
  );
  for (const error of errors) {
    assert.ok(error instanceof UserError && error.code === 'mpi/ranks-differ');
    assert.match(error.message, /differ in their version: rank 0 on \S+ has 1\.0, rank 2 on \S+ has 1\.1/);
  }
  await onRanksInMemory(2, (ranks) => expectSame(ranks, { model: 'a' }));
});

test('what rank 0 finds out reaches all, also an empty text', async () => {
  for (const text of ['', 'a path with ö'])
    assert.deepEqual(await onRanksInMemory(3, (ranks) => fromLeader(ranks, async () => text)), [
      text,
      text,
      text,
    ]);
});

test('rank 0 works before the others, and where it fails the others end without its work', async () => {
  const order: number[] = [];
  await onRanksInMemory(3, (ranks) => leaderFirst(ranks, async () => order.push(ranks.rank)));
  assert.equal(order[0], 0);
  assert.deepEqual([...order].sort(), [0, 1, 2]);
  let done = 0;
  const errors = await onRanksInMemory(3, (ranks) =>
    leaderFirst(ranks, async () => {
      done++;
      throw new UserError('some/fault', 'A fault.');
    }).catch((error: unknown) => error),
  );
  assert.equal(done, 1);
  assert.ok(errors[0] instanceof UserError && errors[0].code === 'some/fault');
  assert.ok(errors[1] instanceof NotToTell && errors[2] instanceof NotToTell);
});

test('numbers of ranks come in their order, whatever their count', async () => {
  const found = await onRanksInMemory(3, (ranks) =>
    gatherNumbers(
      ranks,
      Array.from({ length: ranks.rank }, (_, i) => ranks.rank + i / 8),
    ),
  );
  for (const numbers of found) assert.deepEqual(numbers, [1, 2, 2.125]);
  assert.deepEqual(await gatherNumbers(ONE_RANK, [4, 5]), [4, 5]);
});

test('files of rank 0 reach the others, but for those that are not sent', async () => {
  const source = join(folder, 'source');
  mkdirSync(join(source, 'inner'), { recursive: true });
  mkdirSync(join(source, 'lock'));
  // Longer than a piece.
  const long = Buffer.alloc(2 ** 24 + 5, 7);
  writeFileSync(join(source, 'inner', 'long'), long);
  writeFileSync(join(source, 'empty'), '');
  writeFileSync(join(source, 'lock', '1'), 'locked');
  await onRanksInMemory(2, (ranks) =>
    mirrorFolder(
      ranks,
      source,
      ranks.leads ? null : join(folder, 'target'),
      (name) => !name.startsWith('lock/'),
    ),
  );
  assert.ok(readFileSync(join(folder, 'target', 'inner', 'long')).equals(long));
  assert.equal(readFileSync(join(folder, 'target', 'empty'), 'utf8'), '');
  assert.throws(() => readFileSync(join(folder, 'target', 'lock', '1')));
});

test('a file is mirrored whole by a disk that takes and gives it in parts', async (t) => {
  const source = join(folder, 'slow');
  mkdirSync(source);
  const bytes = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251));
  writeFileSync(join(source, 'file'), bytes);
  const handle = await open(join(source, 'file'));
  const prototype = Object.getPrototypeOf(handle) as typeof handle;
  await handle.close();
  for (const name of ['read', 'write'] as const) {
    // Both take a buffer, where its part begins, how long it is, and the place in the file.
    const whole = prototype[name] as (...all: unknown[]) => unknown;
    t.mock.method(prototype, name, function (this: unknown, ...all: [unknown, number, number, number]) {
      const [buffer, offset, length, position] = all;
      return whole.call(this, buffer, offset, Math.min(length, 300), position);
    });
  }
  const target = join(folder, 'slow-target');
  await onRanksInMemory(2, (ranks) => mirrorFolder(ranks, source, ranks.leads ? null : target, () => true));
  assert.ok(readFileSync(join(target, 'file')).equals(bytes));
});

test('a file that becomes shorter while it is mirrored is told', async () => {
  const source = join(folder, 'shrinking');
  mkdirSync(source);
  const path = join(source, 'file');
  writeFileSync(path, 'all of it');
  // The list of files is the first that rank 0 sends.
  const broadcast = async () => truncateSync(path, 3);
  const ranks = { ...ONE_RANK, size: 2, broadcast };
  await assert.rejects(
    mirrorFolder(ranks, source, null, () => true),
    { code: 'file/truncated', message: /file became shorter while it was read/ },
  );
});
