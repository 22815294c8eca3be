/**
 * Where products of whole numbers have the bits of other products of the same codes.
 *
 * With one scale per row of the weight, one per token, and codes without a shift, a result is two scales times one whole
 * number I. A float32 holds I where |I| < 2^24, and so do sums of bfloat16 tiles, which add codes in float32. Both are
 * s_x · s_w · I with two roundings: here of s_w · I first, in tiles of s_x · I first.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { product, type Quantizer, type Weight, weightOf } from './int4-weights.ts';
import {
  assertClose,
  assertSameBits,
  forEachVariant,
  notBuilt,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

const [TOKENS, COLUMNS, ROWS] = [9, 1100, 50];
const QUANTIZERS: readonly Quantizer[] = [
  { bits: 4, symmetric: 0, clip_ratio: 1 },
  { bits: 4, symmetric: 1, clip_ratio: 0.9 },
  { bits: 8, symmetric: 1, clip_ratio: 1 },
];

const rowOf = (at: number, width: number): [number, number] => [Math.floor(at / width), at % width];

/** The scale of each token, and x as whole multiples of it. */
function multiplesOf(x: Float32Array, quantizer: Quantizer) {
  const [values, scales] = runOperator(
    {
      name: 'FakeQuantizeRows',
      attributes: { ...quantizer, group: 0, include_zero: 1 },
      inputs: [{ data: x, dims: [TOKENS, COLUMNS] }],
      outputs: [x.length, TOKENS],
    },
    'reference',
  );
  return {
    scales: scales!,
    codes: values!.map((value, i) => Math.round(value / scales![rowOf(i, COLUMNS)[0]]!)),
  };
}

/** Σ a c of each token and row, exact in double precision, and in any order of float32. */
function wholeProducts(codes: Float32Array, weight: Weight): Float32Array {
  return Float32Array.from({ length: TOKENS * ROWS }, (_, at) => {
    const [token, row] = rowOf(at, ROWS);
    let [sum, sizes] = [0, 0];
    for (let i = 0; i < COLUMNS; i++) {
      const term = codes[token * COLUMNS + i]! * weight.codes[row * COLUMNS + i]!;
      sum += term;
      sizes += Math.abs(term);
    }
    assert.ok(sizes < 2 ** 24);
    return sum;
  });
}

test('a result is a whole number times two scales, to the bit; tiles differ by their order alone', {
  skip: notBuilt,
}, () => {
  const weight = weightOf(ROWS, COLUMNS, 0, false);
  const x = random(TOKENS * COLUMNS, 21, 3);
  for (const quantizer of QUANTIZERS) {
    const { codes, scales } = multiplesOf(x, quantizer);
    const whole = wholeProducts(codes, weight);
    const times = (first: (at: number) => number, second: (at: number) => number): Float32Array =>
      whole.map((sum, at) => Math.fround(sum * first(at)) * second(at));
    const ofToken = (at: number): number => scales[rowOf(at, ROWS)[0]]!;
    const ofRow = (at: number): number => weight.scales[rowOf(at, ROWS)[1]]!;
    const [expected, tiles] = [times(ofRow, ofToken), times(ofToken, ofRow)];
    forEachVariant((set, threads) => {
      const [y] = runOperator(product(x, weight, quantizer), set, threads);
      assertSameBits(y!, expected, `${set} ${threads}`);
      // Two roundings in each order, of at most 2^-24 of the number and a little.
      assertClose(y!, tiles, (at) => 4.01 * ROUNDING * Math.abs(tiles[at]!), set);
    });
  }
});
