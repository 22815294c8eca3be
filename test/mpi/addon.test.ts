/** What the addon refuses. It needs no MPI for that. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadMpiAddon } from '../../src/engine/distributed/addon.ts';
import { joinRanks } from '../../src/engine/distributed/join.ts';
import { UserError } from '../../src/protocol/errors.ts';

const FILE = join(import.meta.dirname, '..', '..', 'build', 'native', 'spinquant_mpi.node');
const skip = existsSync(FILE) ? false : 'the native operators are not built';
const NO_LIBRARY = process.platform === 'darwin' ? '/usr/lib/libSystem.B.dylib' : 'libm.so.6';

test('libraries that are no MPI are refused, each with its reason', { skip }, () => {
  const addon = loadMpiAddon();
  assert.throws(() => addon.load(['no-such-library.so']), /no-such-library\.so/);
  assert.throws(() => addon.load([NO_LIBRARY]), /neither Open MPI nor of the family of MPICH/);
  assert.throws(() => addon.load(['no-such-library.so', NO_LIBRARY]), /no-such-library\.so.*; .*neither/);
});

test('nothing is asked of a library that is not loaded', { skip }, () => {
  const addon = loadMpiAddon();
  const calls = [
    () => addon.start(),
    () => addon.rank(),
    () => addon.barrier(),
    () => addon.sum(new Float32Array(1)),
    () => addon.meet(1),
    () => addon.abort(0),
  ];
  for (const call of calls) assert.throws(call, /no MPI library has been loaded/);
});

test('a launcher without a library is one clear fault, and a process alone needs none', {
  skip,
}, async () => {
  const alone = await joinRanks({});
  assert.equal(alone.size, 1);
  const one = await joinRanks({ PMI_RANK: '0', PMI_SIZE: '1', SPINQUANT_MPI_LIBRARY: 'no-such-library.so' });
  assert.equal(one.size, 1);
  await assert.rejects(
    joinRanks({ PMI_RANK: '0', PMI_SIZE: '2', SPINQUANT_MPI_LIBRARY: 'no-such-library.so' }),
    (error: unknown) =>
      error instanceof UserError &&
      error.code === 'mpi/no-library' &&
      /started 2 processes.*no-such-library\.so/.test(error.message) &&
      error.hint.includes('SPINQUANT_MPI_LIBRARY'),
  );
});
