/** Blocks of GGUF: rounding beside formulas written out, and codes of a grid that are kept. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { float16Value, float32ToFloat16 } from '../../src/formats/float-bits.ts';
import { type BlockType, encodeGrid, encodeNumbers, gridObstacle } from '../../src/formats/gguf-encode.ts';
import { GGUF_TYPES } from '../../src/formats/gguf-types.ts';
import { numbers } from '../model/gguf-writer.ts';

const BLOCK = 32;
const TYPES: readonly BlockType[] = ['Q8_0', 'Q4_0', 'Q4_1'];
const half = (value: number): number => float16Value(float32ToFloat16(Float32Array.of(value))[0]!);

function decoded(type: BlockType, bytes: Uint8Array): Float32Array {
  const { blockBytes, decode } = GGUF_TYPES[type];
  const out = new Float32Array((bytes.length / blockBytes) * BLOCK);
  for (let at = 0; at * blockBytes < bytes.length; at++) decode(bytes, at * blockBytes, out, at * BLOCK);
  return out;
}

function drawn(count: number, seed: number): Float32Array {
  const next = numbers(seed);
  return Float32Array.from({ length: count }, () => (next(20001) - 10000) / 37000);
}

for (const type of TYPES)
  test(`${type}: numbers are off by half a step at most, and by the rounding of the scale`, () => {
    const values = drawn(5 * BLOCK, 11);
    // A block of zeros, and one whose numbers lie on one side.
    values.fill(0, 0, BLOCK);
    for (let i = BLOCK; i < 2 * BLOCK; i++) values[i] = Math.abs(values[i]!);
    const back = decoded(type, encodeNumbers(type, values));
    for (let start = 0; start < values.length; start += BLOCK) {
      const x = values.subarray(start, start + BLOCK);
      const most = Math.max(...x.map(Math.abs));
      // Q4_0 has levels −8 … 7: the largest number opposite to the one of the largest size may be a whole step away.
      const [step, share] = {
        Q8_0: [most / 127, 0.5],
        Q4_0: [most / 8, 1],
        Q4_1: [(Math.max(...x) - Math.min(...x)) / 15, 0.5],
      }[type] as [number, number];
      // A float16 is off by 2⁻¹¹ of its size; the least normal one is 2⁻¹⁴.
      const slack = 2 * most * 2 ** -11 + 2 ** -24;
      for (const [i, value] of x.entries())
        assert.ok(Math.abs(back[start + i]! - value) <= share * step + slack, `${type} ${start + i}`);
    }
    assert.deepEqual([...back.subarray(0, BLOCK)].map(Math.abs), new Array(BLOCK).fill(0));
  });

/** w = s (c − z) of a type's scale and offset, as blocks store these. */
function expected(type: BlockType, code: number, s: number, zero: number): number {
  if (type !== 'Q4_1') return Math.fround(half(s) * (code - zero));
  return Math.fround(half(s) * (code + 8) + half(-half(s) * (zero + 8)));
}

for (const [type, hasZeros] of [
  ['Q8_0', true],
  ['Q4_0', false],
  ['Q4_1', true],
] as const)
  test(`${type}: codes of a grid keep their levels`, () => {
    const [rows, columns, groups] = [3, 4 * BLOCK, 2];
    const next = numbers(5);
    const codes = Int8Array.from({ length: rows * columns }, () => next(16) - 8);
    const scale = Float32Array.from({ length: rows * groups }, (_, i) => 0.01 + i / 77);
    const zero = Float32Array.from(scale, () => (hasZeros ? next(16) - 8 : 0));
    const back = decoded(type, encodeGrid(type, { rows, columns, codes, scale, zero }));
    for (const [i, value] of back.entries()) {
      const group = Math.floor(i / (columns / groups));
      assert.equal(value, expected(type, codes[i]!, scale[group]!, zero[group]!), `${i}`);
    }
  });

test('what a type has no place for is told, and not rounded', () => {
  assert.equal(gridObstacle('Q4_0', 4, true, 64), null);
  assert.equal(gridObstacle('Q4_1', 3, false, 32), null);
  assert.equal(gridObstacle('Q8_0', 8, false, 96), null);
  assert.match(gridObstacle('Q4_0', 4, false, 64) ?? '', /no zero points/);
  assert.match(gridObstacle('Q4_1', 5, true, 64) ?? '', /codes have 5 bits/);
  assert.match(gridObstacle('Q8_0', 8, true, 16) ?? '', /within blocks of 32/);
  const far = {
    rows: 1,
    columns: 32,
    codes: new Int8Array(32).fill(100),
    scale: Float32Array.of(1),
    zero: Float32Array.of(-100),
  };
  assert.throws(() => encodeGrid('Q8_0', far), /no level 200/);
});
