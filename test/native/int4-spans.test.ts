/** Products with packed weights where parts of a token have scales of their own, and ranges that leave out zero. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  layoutOf,
  matrix,
  multiples,
  pack,
  product,
  type Quantizer,
  type Weight,
  weightOf,
} from './int4-weights.ts';
import {
  assertClose,
  assertSameBits,
  forEachVariant,
  notBuilt,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

const QUANTIZERS: readonly Quantizer[] = [8, 5, 4].flatMap((bits) => [
  { bits, symmetric: 0, clip_ratio: 1, include_zero: 0 },
  { bits, symmetric: 0, clip_ratio: 0.9, lower_ratio: 0.8, include_zero: 0 },
  { bits, symmetric: 0, clip_ratio: 1, include_zero: 1 },
  { bits, symmetric: 1, clip_ratio: 1, include_zero: 0 },
]);

/** [tokens, columns, rows, group, spans] */
const SHAPES: readonly (readonly [number, number, number, number, number])[] = [
  [1, 64, 16, 64, 1],
  [3, 64, 21, 8, 8],
  [5, 96, 33, 16, 3],
  [2, 130, 17, 13, 5],
  [14, 192, 50, 64, 3],
  // Groups of several spans, and rows that are one group.
  [4, 96, 20, 48, 8],
  [25, 256, 33, 128, 4],
  [1, 130, 17, 130, 5],
  [13, 192, 37, 192, 3],
];

function forEachCase(body: (weight: Weight, quantizer: Quantizer, x: Float32Array, what: string) => void) {
  for (const [tokens, columns, rows, group, spans] of SHAPES)
    for (const unsigned of [false, true])
      for (const quantizer of QUANTIZERS) {
        const weight = { ...weightOf(rows, columns, group, unsigned), spans };
        const what = `${[tokens, columns, rows, group, spans]} ${unsigned} ${JSON.stringify(quantizer)}`;
        body(weight, quantizer, spanned(tokens, columns, spans), what);
      }
}

/** Spans around zero, on either side of it, far from it, of one value, and of zeros. */
function spanned(tokens: number, columns: number, spans: number): Float32Array {
  const width = columns / spans;
  return random(tokens * columns, 7).map((value, i) => {
    const kind = Math.floor(i / width) % 6;
    return [value, value + 3, value / 8 - 2, value / 64 + 1000, 0.7, 0][kind]!;
  });
}

/** x̂ Ŵᵀ in double precision, and how far a result may be from it. */
function quantizedProduct(x: Float32Array, weight: Weight, quantizer: Quantizer) {
  const { rows, columns, spans = 1 } = weight;
  const width = columns / spans;
  const attributes = { include_zero: 1, ...quantizer, group: spans === 1 ? 0 : width };
  const quantize = { name: 'FakeQuantize', attributes, inputs: [matrix(x, columns)], outputs: [x.length] };
  const rounded = runOperator(quantize, 'reference')[0]!;
  const w = multiples(weight);
  const { groups, parts } = layoutOf(weight);
  const roundings = parts + Math.min(groups, spans) + spans + 6;
  const [values, allowed] = [new Float64Array((x.length / columns) * rows), [] as number[]];
  for (let at = 0; at < values.length; at++) {
    const [token, row] = [Math.floor(at / rows), at % rows];
    let [sizes, own] = [0, 0];
    for (let start = 0; start < columns; start += width) {
      const [a, b] = [token * columns + start, row * columns + start];
      let weights = 0;
      for (let i = 0; i < width; i++) {
        const term = rounded[a + i]! * w[b + i]!;
        values[at]! += term;
        sizes += Math.abs(term);
        weights += Math.abs(w[b + i]!);
      }
      own += reachOf(x.subarray(a, a + width)) * weights;
    }
    allowed.push(ROUNDING * (roundings * own + 2 * sizes) + 1e-38);
  }
  return { values, allowed };
}

/**
 * How large the parts of a product are, per unit of Σ |ŵ|. With the scale s of a span, its codes a and shift t it is
 * s Σ_g s_g I_g + s t R with exact I_g. s |a| is at most 1.1 of the range with zero in it (int4-matmul.test.ts). A range
 * without zero has multiples, or a shift t = base − z, of up to |z|, and s |z| is within a step of the end that is nearer
 * to zero: at most max |x| more. Roundings of this size: a sum over the parts, one over the longer ones of groups and
 * spans, and one over the shifts; and six for I_g as a float, R, and two scales on each way.
 */
function reachOf(span: Float32Array): number {
  const [low, high] = [Math.min(0, ...span), Math.max(0, ...span)];
  return 1.1 * (high - low) + Math.max(-low, high);
}

test('Int4MatMul with several scales of a token is the product of the fake-quantized network', {
  skip: notBuilt,
}, () => {
  forEachCase((weight, quantizer, x, what) => {
    const { values, allowed } = quantizedProduct(x, weight, quantizer);
    const operation = product(x, weight, quantizer);
    const close = (set: string, threads: number) =>
      assertClose(
        runOperator(operation, set, threads)[0]!,
        Float32Array.from(values),
        (i) => allowed[i]! + ROUNDING * Math.abs(values[i]!),
        `${what} ${set}`,
      );
    close('reference', 1);
    forEachVariant(close);
  });
});

test('every body and every number of threads gives the same bits', { skip: notBuilt }, () => {
  forEachCase((weight, quantizer, x, what) => {
    const operation = product(x, weight, quantizer);
    const expected = runOperator(operation, 'portable')[0]!;
    forEachVariant((set, threads) =>
      assertSameBits(runOperator(operation, set, threads)[0]!, expected, `${what} ${set} ${threads}`),
    );
  });
});

test('spans that are no groups, or do not divide a row, are refused', { skip: notBuilt }, () => {
  const weight = weightOf(3, 64, 16, false);
  for (const spans of [3, 6])
    assert.throws(
      () => pack({ ...weight, spans }, 'portable'),
      /a multiple or a divisor of the groups, found 64 columns, 4 groups and \d spans/,
    );
  const good = product(random(64, 1), { ...weight, spans: 2 }, QUANTIZERS[0]!);
  for (const [activation_group, found] of [
    [
      24,
      /activation_group must divide the columns, and be a multiple or a divisor of group, found 24 for 64/,
    ],
    [
      48,
      /activation_group must divide the columns, and be a multiple or a divisor of group, found 48 for 64/,
    ],
    [8, /is packed as \[1, 32, 64\] with a grid \[1, 12, 16\], found \[1, 16, 64\] and \[1, 6, 16\]/],
  ] as const)
    assert.throws(
      () => runOperator({ ...good, attributes: { ...good.attributes, activation_group } }, 'portable'),
      found,
    );
});
