import assert from 'node:assert/strict';
import test from 'node:test';
import { massiveTokens } from '../../src/engine/calibration/massive-tokens.ts';

test('a token is massive where its residual is more than ten times as long as the median', () => {
  const rows = [
    [-30, 40],
    [0, 5],
    [3, 4],
    [5, 0],
    [0, -50.1],
  ];
  // The lengths are 50, 5, 5, 5 and 50.1: ten times the median is not more than ten times.
  assert.deepEqual(massiveTokens(rows.flat(), 2), [false, false, false, false, true]);
});

test('no token of a text of silence is massive, and an empty text has none', () => {
  assert.deepEqual(massiveTokens(new Float32Array(6), 2), [false, false, false]);
  assert.deepEqual(massiveTokens([], 2), []);
});
