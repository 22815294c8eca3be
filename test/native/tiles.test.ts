/** Bodies for AMX on emulated tiles, with checks of every access to memory: the tests that other bodies pass. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildTileHost } from '../../scripts/build-hosts.mjs';
import { APART, instructionSetsOf, runTests } from './host/run.ts';
import { sanitized } from './support.ts';

const host = sanitized ? { missing: APART } : await buildTileHost();
const command = 'command' in host ? host.command : [];
const NEEDED = 'avx512_bf16';
const missing = 'missing' in host ? host.missing : undefined;
const skip =
  missing ?? (instructionSetsOf(command).includes(NEEDED) ? false : `this processor lacks ${NEEDED}`);

test('tiles are used where the processor has all that goes with them, and the system grants them', {
  skip,
}, () => {
  const all = instructionSetsOf(command);
  assert.equal(all.at(-1), 'amx');
  for (const WITHHELD of ['amx_tile', 'amx_int8', 'amx_bf16', 'permission'])
    assert.deepEqual(instructionSetsOf(command, { WITHHELD }), all.slice(0, -1), WITHHELD);
  for (const WITHHELD of [NEEDED, 'avx512_vnni']) {
    const sets = instructionSetsOf(command, { WITHHELD });
    assert.ok(!sets.includes('amx') && !sets.includes(WITHHELD), `${WITHHELD}: ${sets}`);
  }
});

test('products with weights of 4 bits', { skip }, () =>
  runTests(command, ['int4-matmul', 'int4-rows', 'int4-spans', 'int4-exact']),
);

test('products of bfloat16, of codes and of bytes', { skip }, () =>
  runTests(command, ['gemm-bfloat16', 'rounded-products', 'byte-products', 'second-moment']),
);

test('attention, and odd calls of every operator', { skip }, () =>
  runTests(command, ['attention', 'odd-calls']),
);
