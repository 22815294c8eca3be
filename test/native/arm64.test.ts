/** Bodies for 64-bit ARM, cross-compiled and run by QEMU: the tests that the bodies of this processor pass. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildArmHost } from '../../scripts/build-hosts.mjs';
import { APART, instructionSetsOf, runTests } from './host/run.ts';
import { sanitized } from './support.ts';

const host = sanitized ? { missing: APART } : await buildArmHost();
const command = 'command' in host ? host.command : [];
const skip = 'missing' in host && host.missing;

test('products of bytes are used where the processor has them', { skip }, () => {
  const [emulator, program] = command as [string, string];
  assert.deepEqual(instructionSetsOf(command), ['portable', 'neon_dot']);
  assert.deepEqual(instructionSetsOf([emulator, '-cpu', 'cortex-a53', program]), ['portable']);
});

test('products with weights of 4 bits', { skip }, () =>
  runTests(command, ['int4-matmul', 'int4-rows', 'int4-spans', 'int4-exact']),
);

// The search of clip ratios would take longer than all else.
test('quantizers of rows', { skip }, () => runTests(command, ['quantize'], 'Quantize(Rows|:)'));

test('packed keys and values, and attention over them', { skip }, () =>
  runTests(command, ['hadamard', 'head-rows', 'pack-cache', 'token-rows', 'packed-attention']),
);
