/** Codes of any width as compressed-tensors packs them, beside a stream of bits written out one by one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packRowsInt32, unpackRowsInt32, wordsOf } from '../../src/formats/pack-int32.ts';
import { numbers } from '../model/gguf-writer.ts';

/** The row's stream of bits, the lowest bit of the first code first, cut into words. */
function packedByBits(codes: ArrayLike<number>, rows: number, bits: number): number[] {
  const columns = codes.length / rows;
  const words: number[] = [];
  for (let row = 0; row < rows; row++) {
    const stream: number[] = [];
    for (let i = 0; i < columns; i++) {
      const stored = codes[row * columns + i]! + 2 ** (bits - 1);
      for (let bit = 0; bit < bits; bit++) stream.push(Math.floor(stored / 2 ** bit) % 2);
    }
    while (stream.length % 32 !== 0) stream.push(0);
    for (let at = 0; at < stream.length; at += 32)
      words.push(stream.slice(at, at + 32).reduce((sum, bit, i) => sum + bit * 2 ** i, 0) | 0);
  }
  return words;
}

for (const bits of [1, 2, 3, 4, 5, 6, 7, 8])
  test(`${bits} bits: packed as a stream of bits, and read back`, () => {
    const next = numbers(bits + 7);
    for (const [rows, columns] of [
      [1, 1],
      [3, 7],
      [2, 32],
      [5, 43],
      [4, 64],
    ] as const) {
      const codes = Int8Array.from({ length: rows * columns }, () => next(2 ** bits) - 2 ** (bits - 1));
      const packed = packRowsInt32(codes, rows, bits);
      assert.equal(packed.length, rows * wordsOf(columns, bits));
      assert.deepEqual([...packed], packedByBits(codes, rows, bits));
      assert.deepEqual(unpackRowsInt32(packed, [rows, columns], bits), codes);
    }
  });

test('4 bits: the lowest nibble of a word is the first column', () => {
  const [word = 0] = packRowsInt32([-8, -7, 0, 7, -8, -8, -8, -1], 1, 4);
  assert.equal((word >>> 0).toString(16), '7000f810');
});

test('a code out of range is a mistake', () => {
  assert.throws(() => packRowsInt32([8], 1, 4), /8 is no code of 4 bits/);
  assert.throws(() => packRowsInt32([Number.NaN], 1, 4), RangeError);
});
