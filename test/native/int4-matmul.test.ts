/** Products with packed 4-bit weights, against loops, whole numbers, and the product of quantized matrices. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  layoutOf,
  matrix,
  multiples,
  PANEL,
  pack,
  product,
  type Quantizer,
  type Weight,
  weightOf,
} from './int4-weights.ts';
import {
  addon,
  assertClose,
  assertSameBits,
  difficultRows,
  forEachVariant,
  notBuilt,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

const QUANTIZERS: readonly Quantizer[] = [
  { bits: 8, symmetric: 0, clip_ratio: 1 },
  { bits: 8, symmetric: 1, clip_ratio: 1 },
  { bits: 4, symmetric: 0, clip_ratio: 0.9 },
  { bits: 4, symmetric: 1, clip_ratio: 0.9 },
];

/** [tokens, columns, rows, group]; a group of 0 is the whole row. */
const SHAPES: readonly (readonly [number, number, number, number])[] = [
  [1, 1, 1, 0],
  [1, 96, 64, 32],
  [2, 37, 17, 0],
  [3, 129, 33, 43],
  [4, 256, 15, 64],
  [5, 384, 47, 128],
  [9, 256, 16, 256],
  [13, 40, 70, 8],
  [14, 256, 41, 128],
  [25, 192, 50, 64],
  [37, 1100, 50, 0],
];

/** x̂ Ŵᵀ of the fake-quantized network in double precision, and the sum of sizes of its terms. */
function quantizedProduct(x: Float32Array, weight: Weight, { bits, symmetric, clip_ratio }: Quantizer) {
  const { rows, columns } = weight;
  const tokens = x.length / columns;
  const quantize = {
    name: 'FakeQuantize',
    attributes: { bits, symmetric, clip_ratio, group: 0, include_zero: 1 },
    inputs: [matrix(x, columns)],
    outputs: [x.length],
  };
  const rounded = runOperator(quantize, 'reference')[0]!;
  const w = multiples(weight);
  const [values, sizes] = [new Float64Array(tokens * rows), new Float64Array(tokens * rows)];
  for (let at = 0; at < values.length; at++) {
    const [token, row] = [Math.floor(at / rows), at % rows];
    for (let i = 0; i < columns; i++) {
      const term = rounded[token * columns + i]! * w[row * columns + i]!;
      values[at]! += term;
      sizes[at]! += Math.abs(term);
    }
  }
  return { values, sizes, weights: sizesOfRows(weight, w), ranges: rangesOf(x, columns) };
}

/** Σ |ŵ| of each row. */
function sizesOfRows({ rows, columns }: Weight, w: Float32Array): number[] {
  return Array.from({ length: rows }, (_, row) =>
    w.subarray(row * columns, (row + 1) * columns).reduce((sum, value) => sum + Math.abs(value), 0),
  );
}

/** max(x, 0) − min(x, 0) of each token. */
function rangesOf(x: Float32Array, columns: number): number[] {
  return Array.from({ length: x.length / columns }, (_, token) => {
    const row = x.subarray(token * columns, (token + 1) * columns);
    return Math.max(0, ...row) - Math.min(0, ...row);
  });
}

/**
 * How far a result may be from the exact product. With the scale s of a token, its codes a and shift t, y is
 * s (Σ_g s_g I_g + t R) with exact I_g, one rounding for each I_g, each product and each of the sums, one for R and
 * two more at the end: G + 5 of at most s (128 + |t|) Σ |ŵ| in size. |a| and |t| are at most 128 and s is the range / q
 * or, where symmetric, at most twice that; with q ≥ 255 for a shift, and |a| ≤ 15 without one of 8 bits, that is
 * below 1.1 of the range times Σ |ŵ|. x̂ and ŵ of the other product are rounded once each.
 */
function allowed(
  at: number,
  weight: Weight,
  { sizes, weights, ranges }: ReturnType<typeof quantizedProduct>,
): number {
  const [token, row] = [Math.floor(at / weight.rows), at % weight.rows];
  const own = (layoutOf(weight).groups + 5) * 1.1 * ranges[token]! * weights[row]!;
  return ROUNDING * (own + 2 * sizes[at]!) + 1e-38;
}

function forEachCase(body: (weight: Weight, quantizer: Quantizer, tokens: number, what: string) => void) {
  for (const [tokens, columns, rows, group] of SHAPES)
    for (const unsigned of [false, true])
      for (const quantizer of QUANTIZERS)
        body(
          weightOf(rows, columns, group, unsigned),
          quantizer,
          tokens,
          `${[tokens, columns, rows, group]} ${unsigned} ${JSON.stringify(quantizer)}`,
        );
}

/** The layout of README.md, number by number; row sums are compared apart. */
function expectedPack(weight: Weight) {
  const { columns, rows, group, codes, scales, zeros } = weight;
  const { panels, groups, padded, blocks } = layoutOf(weight);
  const lines = zeros ? 2 : 1;
  const packed = new Uint8Array(panels * blocks * 64);
  const grid = new Float32Array(panels * (1 + groups * lines) * PANEL);
  const lineOf = (row: number, line: number) =>
    (Math.floor(row / PANEL) * (1 + groups * lines) + line) * PANEL + (row % PANEL);
  for (let i = 0; i < rows * columns; i++) {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const g = Math.floor(column / group);
    const place = g * padded + (column % group);
    const byte = (Math.floor(row / PANEL) * blocks + (place >> 3)) * 64 + (row % PANEL) * 4 + (place & 3);
    packed[byte]! |= (codes[i]! + (zeros ? 0 : 8)) << (place & 4);
    grid[lineOf(row, 1 + g * lines)] = scales[row * groups + g]!;
    if (zeros) grid[lineOf(row, 2 + g * lines)] = zeros[row * groups + g]!;
  }
  const sumsAt = Array.from({ length: panels * PANEL }, (_, row) => lineOf(row, 0));
  return { packed, grid, sumsAt };
}

/** Σ s (c − z) of a row in double precision; the rows that pad a panel have none. */
function rowSum({ rows, columns, group, codes, scales, zeros }: Weight, row: number): number {
  if (row >= rows) return 0;
  return codes.subarray(row * columns, (row + 1) * columns).reduce((sum, code, i) => {
    const at = row * (columns / group) + Math.floor(i / group);
    return sum + scales[at]! * (code - (zeros?.[at] ?? 0));
  }, 0);
}

test('PackInt4: eight columns of sixteen rows in 64 bytes, groups padded to 32', { skip: notBuilt }, () => {
  for (const unsigned of [false, true])
    for (const [, columns, rows, group] of SHAPES) {
      const weight = weightOf(rows, columns, group, unsigned);
      const { packed, grid, sumsAt } = expectedPack(weight);
      const { codes, grid: found } = pack(weight, 'portable', 2);
      assert.deepEqual(new Uint8Array((codes.data as Int8Array).buffer), packed, `codes ${rows}`);
      sumsAt.forEach((at, row) => {
        // Sums in double precision of two orders, at most 1e-9 apart, are rounded once.
        const [sum, actual] = [rowSum(weight, row), (found.data as Float32Array)[at]!];
        assert.ok(Math.abs(actual - sum) <= ROUNDING * Math.abs(sum) + 1e-9, `row ${row}`);
        grid[at] = actual;
      });
      assert.deepEqual(found.data, grid, `grid ${rows}`);
    }
});

test('Int4MatMul is the product of the fake-quantized network', { skip: notBuilt }, () => {
  forEachCase((weight, quantizer, tokens, what) => {
    const x = random(tokens * weight.columns, 1, 2).map((value, i) => value * (i % 31 === 0 ? 9 : 1) + 0.3);
    const expected = quantizedProduct(x, weight, quantizer);
    const close = (set: string, threads: number) =>
      assertClose(
        runOperator(product(x, weight, quantizer), set, threads)[0]!,
        Float32Array.from(expected.values),
        // The expected number is rounded to compare it.
        (i) => allowed(i, weight, expected) + ROUNDING * Math.abs(expected.values[i]!),
        `${what} ${set}`,
      );
    close('reference', 1);
    forEachVariant(close);
  });
});

test('rows of zeros, of one value, and of uneven sizes', { skip: notBuilt }, () => {
  for (const quantizer of QUANTIZERS) {
    const weight = weightOf(19, 96, 32, true);
    const x = difficultRows(96, 24);
    const expected = quantizedProduct(x, weight, quantizer);
    forEachVariant((set) => {
      const [y] = runOperator(product(x, weight, quantizer), set);
      const what = `${JSON.stringify(quantizer)} ${set}`;
      assertClose(
        y!,
        Float32Array.from(expected.values),
        (i) => allowed(i, weight, expected) + ROUNDING * Math.abs(expected.values[i]!),
        what,
      );
    });
  }
});

/** Rows of whole numbers whose scale is 1, with the ends of the range among them. */
function wholeRows(tokens: number, columns: number, { bits, symmetric }: Quantizer): Float32Array {
  const top = symmetric ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  const x = new Float32Array(tokens * columns);
  for (let token = 0; token < tokens; token++) {
    // Where asymmetric, the range begins at 0, in its middle, or ends at 0.
    const low = symmetric ? -top : -Math.floor((top * (token % 3)) / 2);
    const span = symmetric ? 2 * top : top;
    const row = random(columns, token + 9).map((value) => low + Math.round(((value + 1) / 2) * span));
    [row[0], row[columns - 1]] = [low, low + span];
    x.set(row, token * columns);
  }
  return x;
}

test('whole numbers are summed without any rounding, by every body', { skip: notBuilt }, () => {
  for (const quantizer of QUANTIZERS.map((other) => ({ ...other, clip_ratio: 1 })))
    for (const unsigned of [false, true])
      for (const [tokens, columns, rows, group] of SHAPES.filter(([, columns]) => columns > 1)) {
        const random = weightOf(rows, columns, group, unsigned);
        const weight = { ...random, scales: random.scales.map(() => 1) };
        const x = wholeRows(tokens, columns, quantizer);
        const w = multiples(weight);
        const expected = new Float32Array(tokens * rows);
        for (let at = 0; at < expected.length; at++)
          for (let i = 0; i < columns; i++)
            expected[at]! += x[Math.floor(at / rows) * columns + i]! * w[(at % rows) * columns + i]!;
        // All partial sums are whole numbers below 2^24, which a float32 holds.
        assert.ok(expected.every((value) => Math.abs(value) < 2 ** 24));
        for (const set of ['reference', ...addon!.instructionSets()])
          assert.deepEqual(
            runOperator(product(x, weight, quantizer), set)[0]!.map((value) => value + 0),
            expected.map((value) => value + 0),
            `${[tokens, columns, rows, group]} ${JSON.stringify(quantizer)} ${set}`,
          );
      }
});

test('the largest activations by the largest weights do not saturate', { skip: notBuilt }, () => {
  const [columns, rows] = [512, 18];
  const all = (count: number, value: number) => new Float32Array(count).fill(value);
  const extremes = [
    // A clip ratio of one half gives codes of -128 and 127 with the scale 1.
    {
      quantizer: { bits: 8, symmetric: 1, clip_ratio: 0.5 } as const,
      values: [-254, 254],
      whole: [-128, 127],
    },
    { quantizer: { bits: 8, symmetric: 0, clip_ratio: 1 } as const, values: [-255, 255], whole: [-255, 255] },
  ];
  for (const { quantizer, values, whole } of extremes)
    for (const [code, zero] of [
      [0, 0],
      [15, 0],
      [0, 15],
      [15, 15],
      [-8, null],
      [7, null],
    ] as const) {
      const scales = all(rows, 1);
      const zeros = zero === null ? null : all(rows, zero);
      const codes = new Int8Array(rows * columns).fill(code);
      const weight = { rows, columns, group: columns, codes, scales, zeros };
      values.forEach((value, i) => {
        const expected = all(rows, columns * whole[i]! * (code - (zero ?? 0)) + 0);
        forEachVariant((set) =>
          assert.deepEqual(
            runOperator(product(all(columns, value), weight, quantizer), set)[0]!.map((y) => y + 0),
            expected,
            `${value} · ${code} ${set}`,
          ),
        );
      });
    }
});

test('every body and every number of threads gives the same bits', { skip: notBuilt }, () => {
  forEachCase((weight, quantizer, tokens, what) => {
    const operation = product(random(tokens * weight.columns, 11), weight, quantizer);
    const expected = runOperator(operation, 'portable')[0]!;
    forEachVariant((set, threads) =>
      assertSameBits(runOperator(operation, set, threads)[0]!, expected, `${what} ${set} ${threads}`),
    );
  });
  // So many tokens, and so many rows, that both are multiplied in parts.
  const large = weightOf(290, 4100, 0, false);
  const operation = product(random(130 * 4100, 12), large, QUANTIZERS[0]!);
  const expected = runOperator(operation, 'portable')[0]!;
  forEachVariant((set, threads) =>
    assertSameBits(runOperator(operation, set, threads)[0]!, expected, `${set} ${threads}`),
  );
});

test('zero points far outside of the codes: a group whose weights have one sign', { skip: notBuilt }, () => {
  const weight = weightOf(5, 64, 32, true);
  const zeros = weight.zeros!.map((_, i) => [-40000, 200000, -17, 16, 0][i % 5]!);
  const x = random(3 * 64, 6);
  const distant = { ...weight, zeros };
  const expected = quantizedProduct(x, distant, QUANTIZERS[0]!);
  forEachVariant((set) =>
    assertClose(
      runOperator(product(x, distant, QUANTIZERS[0]!), set)[0]!,
      Float32Array.from(expected.values),
      (i) => allowed(i, distant, expected) + ROUNDING * Math.abs(expected.values[i]!),
      set,
    ),
  );
});

test('what cannot be packed or multiplied is refused', { skip: notBuilt }, () => {
  const weight = weightOf(3, 64, 32, false);
  const packed = (change: Partial<Weight>) => () => pack({ ...weight, ...change }, 'portable');
  const codes = weight.codes.with(70, 8);
  assert.throws(packed({ codes }), /codes must be from -8 to 7, found 8 at \[1, 6\]/);
  const zeros = new Float32Array(6);
  assert.throws(packed({ zeros }), /codes must be from 0 to 15, found -\d at \[0, \d+\]/);
  const unsigned = { ...weightOf(3, 64, 32, true), zeros: zeros.with(3, 0.5) };
  assert.throws(
    () => pack(unsigned, 'portable'),
    /zero points must be whole numbers of a size up to 262144, found 0.500000 at \[1, 1\]/,
  );
  assert.throws(packed({ group: 64, scales: new Float32Array(9) }), /data and dims do not agree/);
  const good = product(random(128, 1), weight, QUANTIZERS[0]!);
  const changed = (attributes: Record<string, number>) => () =>
    runOperator({ ...good, attributes: { ...good.attributes, ...attributes } }, 'portable');
  assert.doesNotThrow(changed({}));
  assert.throws(changed({ group: 24 }), /columns must be a multiple of group/);
  assert.throws(changed({ rows: 17 }), /a weight \[17, 64\] in groups of 32 is packed as \[2, 8, 64\]/);
  assert.throws(changed({ zero_points: 1 }), /with a grid \[1, 5, 16\], found \[1, 8, 64\] and \[1, 3, 16\]/);
});
