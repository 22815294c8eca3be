import assert from 'node:assert/strict';
import test from 'node:test';
import { massiveTokens } from '../../src/engine/calibration/massive-tokens.ts';

/** Rows of two channels with these lengths. */
const residual = (...lengths: readonly number[]) =>
  Float32Array.from(lengths.flatMap((length) => [0.6 * length, -0.8 * length]));

test('a token is massive from ten times the median length on', () => {
  assert.deepEqual(massiveTokens(residual(50, 1, 2, 4, 5), 2), [true, false, false, false, false]);
  assert.deepEqual(massiveTokens(residual(1, 39, 4, 41, 4), 2), [false, false, false, true, false]);
});

test('of one token, or of zeros, none is massive', () => {
  assert.deepEqual(massiveTokens(residual(7), 2), [false]);
  assert.deepEqual(massiveTokens(residual(0, 0, 0), 2), [false, false, false]);
});
