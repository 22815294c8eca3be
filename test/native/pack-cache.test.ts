/** Keys and values as packed codes, against loops and the quantizer of the network. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  fakeQuantized,
  layoutOf,
  type Packed,
  pack,
  type Quantizer,
  type Tokens,
  unpack,
} from './packed-tokens.ts';
import { addon, assertSameBits, difficultRows, notBuilt, ROUNDING, random } from './support.ts';

const QUANTIZERS: readonly Quantizer[] = [
  { bits: 4, symmetric: 0, include_zero: 1, clip_ratio: 1, group: 0 },
  { bits: 4, symmetric: 0, include_zero: 0, clip_ratio: 0.95, lower_ratio: 0.8, group: 0 },
  { bits: 4, symmetric: 1, include_zero: 0, clip_ratio: 0.9, group: 0 },
  { bits: 8, symmetric: 0, include_zero: 0, clip_ratio: 1, group: 0 },
  { bits: 8, symmetric: 1, include_zero: 0, clip_ratio: 1, group: 0 },
  { bits: 3, symmetric: 0, include_zero: 1, clip_ratio: 1, group: 0 },
  { bits: 5, symmetric: 1, include_zero: 0, clip_ratio: 1, group: 0 },
];

/** [heads, tokens, width, group]. */
const SHAPES: readonly (readonly [number, number, number, number])[] = [
  [1, 1, 1, 0],
  [2, 16, 64, 0],
  [3, 17, 33, 11],
  [1, 40, 80, 16],
  [2, 5, 12, 12],
];

function forEachCase(body: (tokens: Tokens, quantizer: Quantizer, keys: 0 | 1, what: string) => void): void {
  for (const [heads, count, width, group] of SHAPES)
    for (const rule of QUANTIZERS)
      for (const keys of [0, 1] as const) {
        const quantizer = { ...rule, group };
        const tokens = { x: difficultRows(width, heads * count), heads, tokens: count, width };
        body(tokens, quantizer, keys, `${[heads, count, width]} ${JSON.stringify(quantizer)} ${keys}`);
      }
}

function assertSame(a: Packed, b: Packed, what: string): void {
  assert.ok(Buffer.from(a.codes.data.buffer).equals(Buffer.from(b.codes.data.buffer)), what);
  assertSameBits(a.scales.data, b.scales.data, what);
}

test('PackCache: every body packs the same bytes', { skip: notBuilt }, () => {
  forEachCase((tokens, quantizer, keys, what) => {
    const expected = pack(tokens, quantizer, keys, 'reference');
    for (const isa of addon!.instructionSets())
      assertSame(pack(tokens, quantizer, keys, isa), expected, `${what} ${isa}`);
  });
});

test('what PackCache packs is what the quantizer of the network gives', { skip: notBuilt }, () => {
  forEachCase((tokens, quantizer, keys, what) => {
    const expected = fakeQuantized(tokens, quantizer);
    const found = unpack(pack(tokens, quantizer, keys, 'reference'), tokens, quantizer, keys);
    // −0 is a code as 0 is.
    for (const [i, value] of found.entries())
      assert.equal(value + 0, expected[i]! + 0, `${what}: element ${i}`);
  });
});

test('a range too narrow for a zero point of 16 bits gets the finest scale that fits', {
  skip: notBuilt,
}, () => {
  const quantizer = { bits: 4, symmetric: 0, include_zero: 0, clip_ratio: 1, group: 0 } as const;
  for (const offset of [1, -1]) {
    const x = random(3 * 20, 1, 1e-5).map((value) => value + offset);
    const tokens = { x, heads: 1, tokens: 3, width: 20 };
    for (const isa of ['reference', ...addon!.instructionSets()]) {
      const packed = pack(tokens, quantizer, 1, isa);
      const found = unpack(packed, tokens, quantizer, 1);
      // Half a step of max|x| / 32767, the rounding of that scale and of its product.
      const half = (1 + 1e-5) / 32767 / 2 + 3 * ROUNDING;
      for (const [i, value] of found.entries())
        assert.ok(Math.abs(value - x[i]!) <= half, `${isa}: ${value} for ${x[i]}`);
      // With the steps of its own range, codes differ; with those of the 16 bits they need not.
      const zeros = new Int16Array(packed.codes.data.buffer, layoutOf(20, quantizer).codeBytes, 3);
      for (const zero of zeros) assert.ok(Math.abs(zero) >= 32766, `${zero}`);
    }
  }
});

test('numbers that are none stay none', { skip: notBuilt }, () => {
  const quantizer = { bits: 4, symmetric: 0, include_zero: 0, clip_ratio: 1, group: 0 } as const;
  const x = new Float32Array(8).fill(Number.NaN);
  for (const isa of addon!.instructionSets()) {
    const tokens = { x, heads: 1, tokens: 1, width: 8 };
    const found = unpack(pack(tokens, quantizer, 0, isa), tokens, quantizer, 0);
    assert.ok(found.every(Number.isNaN), isa);
  }
});

test('PackCache refuses what does not fit', { skip: notBuilt }, () => {
  const tokens = { x: new Float32Array(30), heads: 1, tokens: 3, width: 10 };
  const quantizer = { bits: 4, symmetric: 0, include_zero: 0, clip_ratio: 1, group: 0 } as const;
  assert.throws(() => pack(tokens, { ...quantizer, bits: 9 }, 0, 'portable'), /bits/);
  const inputs = [{ data: new Float32Array(10), dims: [10] }];
  const outputs = [new Int8Array(1), new Float32Array(1)];
  assert.throws(
    () => addon!.runOperator('PackCache', 'portable', { ...quantizer, keys: 0 }, inputs, outputs, 1, 1),
    /\[\.\.\., tokens, h\], found \[10\]/,
  );
  const grouped = [{ data: tokens.x, dims: [1, 3, 10] }];
  assert.throws(
    () =>
      addon!.runOperator(
        'PackCache',
        'portable',
        { ...quantizer, group: 4, keys: 0 },
        grouped,
        outputs,
        1,
        1,
      ),
    /multiple of group 4, found 10/,
  );
});
