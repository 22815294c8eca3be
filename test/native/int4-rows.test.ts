/** Products with packed weights that take in the operators around them: to the bits of those, and against loops. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { matrix, product, type Quantizer, type Weight, weightOf } from './int4-weights.ts';
import {
  addon,
  assertSameBits,
  difficultRows,
  forEachVariant,
  notBuilt,
  type Operation,
  random,
  runOperator,
} from './support.ts';

const QUANTIZERS: readonly Quantizer[] = [
  { bits: 8, symmetric: 0, clip_ratio: 1 },
  { bits: 4, symmetric: 1, clip_ratio: 0.9 },
  { bits: 4, symmetric: 0, clip_ratio: 1, include_zero: 0 },
];

const EPSILON = 1e-5;

/** The transform of a row, as attributes and the matrix. */
interface Transform {
  readonly attributes: Readonly<Record<string, number>>;
  readonly m: ProbeTensor | null;
}

function transformOf(block: number): Transform {
  const { order, matrix: signs } = planHadamard(block);
  const m = signs && { data: Float32Array.from(signs), dims: [order, order] };
  return { attributes: { block, order, scale: 1 / Math.sqrt(block), transpose: 0 }, m };
}

const alike = (name: string, x: Float32Array, columns: number, more: readonly Float32Array[] = []) => ({
  name,
  attributes: {},
  inputs: [x, ...more].map((data) => matrix(data, columns)),
  outputs: [x.length],
});

const normed = (x: Float32Array, columns: number): Operation => ({
  ...alike('RmsNorm', x, columns),
  attributes: { epsilon: EPSILON },
});

function transformed(x: Float32Array, columns: number, { attributes, m }: Transform): Operation {
  return { name: 'Hadamard', attributes, inputs: [matrix(x, columns), m], outputs: [x.length] };
}

/** A product of SwiGlu with blocks that are transformed, and with an addend. */
function joined(
  [gate, up]: readonly [Float32Array, Float32Array],
  weight: Weight,
  quantizer: Quantizer,
  { attributes, m }: Transform,
  addend: Float32Array | null,
): Operation {
  const plain = product(gate, weight, quantizer);
  return {
    ...plain,
    name: 'SwiGluInt4MatMul',
    attributes: { ...plain.attributes, ...attributes },
    inputs: [plain.inputs[0]!, matrix(up, weight.columns), ...plain.inputs.slice(1), m].concat(
      addend ? [matrix(addend, weight.rows)] : [],
    ),
  };
}

const sumOf = (a: Float32Array, b: Float32Array): Float32Array => a.map((value, i) => value + b[i]!);

test('weights that share rows: the bits of a product with each', { skip: notBuilt }, () => {
  for (const quantizer of QUANTIZERS)
    for (const [tokens, columns, group, heights] of [
      [1, 96, 32, [64, 17, 16]],
      [3, 130, 0, [15, 33]],
      [6, 40, 8, [7, 1, 50]],
    ] as const) {
      const x = random(tokens * columns, 31, 2);
      const weights = heights.map((rows) => weightOf(rows, columns, group, group > 0));
      const alone = weights.map((weight) => product(x, weight, quantizer));
      const together: Operation = {
        name: 'Int4MatMul',
        attributes: { ...alone[0]!.attributes, rows2: heights[1], rows3: heights[2] ?? 0 },
        inputs: [alone[0]!.inputs[0]!, ...alone.flatMap(({ inputs }) => inputs.slice(1))],
        outputs: alone.map(({ outputs }) => outputs[0]!),
      };
      forEachVariant((set, threads) => {
        for (const [i, y] of runOperator(together, set, threads).entries())
          assertSameBits(y, runOperator(alone[i]!, set)[0]!, `${heights} ${i} ${set} ${threads}`);
      });
    }
});

test('RmsNorm, a product and an addition in one: the bits of the three', { skip: notBuilt }, () => {
  for (const quantizer of QUANTIZERS)
    for (const [tokens, columns, rows] of [
      [1, 96, 33],
      [5, 75, 16],
      [24, 33, 5],
    ] as const) {
      const x = difficultRows(columns, tokens);
      const weight = weightOf(rows, columns, 0, false);
      const addend = random(tokens * rows, 7);
      const norm = product(x, weight, quantizer);
      const withNorm = { ...norm, attributes: { ...norm.attributes, norm: 1, epsilon: EPSILON } };
      const withAddend = {
        ...norm,
        name: 'Int4MatMulAdd',
        inputs: [matrix(addend, rows), ...norm.inputs],
      };
      forEachVariant((set, threads) => {
        const what = `${[tokens, columns, rows]} ${set} ${threads}`;
        const [row] = runOperator(normed(x, columns), set);
        const [apart] = runOperator(product(row!, weight, quantizer), set);
        assertSameBits(runOperator(withNorm, set, threads)[0]!, apart!, `norm ${what}`);
        const sum = sumOf(addend, runOperator(norm, set)[0]!);
        assertSameBits(runOperator(withAddend, set, threads)[0]!, sum, `sum ${what}`);
      });
    }
});

/** Rows of blocks of any width: below a vector, several to a row, with a matrix of order 12 and without. */
const BLOCKS: readonly (readonly [tokens: number, columns: number, block: number])[] = [
  [1, 1536, 1536],
  [3, 256, 64],
  [2, 24, 12],
  [5, 72, 24],
  [4, 20, 4],
  [2, 192, 96],
  [1, 40, 40],
];

test('SwiGlu, Hadamard, a product and an addition in one: the bits of the four', { skip: notBuilt }, () => {
  for (const quantizer of QUANTIZERS)
    for (const [tokens, columns, block] of BLOCKS) {
      const [gate, up] = [random(tokens * columns, 1, 4), random(tokens * columns, 2, 3)];
      const weight = weightOf(21, columns, 0, true);
      const addend = random(tokens * 21, 3);
      const transform = transformOf(block);
      forEachVariant((set, threads) => {
        const what = `${[tokens, columns, block]} ${set} ${threads}`;
        const [rows] = runOperator(alike('SwiGlu', gate, columns, [up]), set);
        const [mixed] = runOperator(transformed(rows!, columns, transform), set);
        const [apart] = runOperator(product(mixed!, weight, quantizer), set);
        const both = joined([gate, up], weight, quantizer, transform, addend);
        assertSameBits(runOperator(both, set, threads)[0]!, sumOf(addend, apart!), what);
        const [untransformed] = runOperator(product(rows!, weight, quantizer), set);
        const plain = joined([gate, up], weight, quantizer, { attributes: {}, m: null }, null);
        assertSameBits(runOperator(plain, set, threads)[0]!, untransformed!, `${what}, no transform`);
      });
    }
});

/** Kronecker maps below a vector, beyond one, and of widths that no vector divides. */
const MAPS: readonly (readonly [tokens: number, left: number, right: number])[] = [
  [1, 24, 24],
  [3, 5, 8],
  [2, 3, 25],
  [4, 9, 17],
];

/** The operator that multiplies rows by a map, and what a product with it takes. */
function mapped(x: Float32Array, left: number, right: number): Operation {
  const numbers = random(left * right + left ** 2 + right ** 2, left, 1);
  const inputs = [matrix(x, left * right), { data: numbers, dims: [numbers.length] }];
  return { name: 'Kronecker', attributes: { left }, inputs, outputs: [x.length] };
}

test('RmsNorm, Kronecker and products in one: the bits of the three', { skip: notBuilt }, () => {
  for (const quantizer of QUANTIZERS)
    for (const [tokens, left, right] of MAPS) {
      const columns = left * right;
      const x = difficultRows(columns, tokens);
      const weights = [33, 16].map((rows) => weightOf(rows, columns, 0, false));
      const alone = weights.map((weight) => product(x, weight, quantizer));
      const numbers = mapped(x, left, right).inputs[1]!;
      const joined: Operation = {
        name: 'KroneckerInt4MatMul',
        attributes: { ...alone[0]!.attributes, rows2: 16, left },
        inputs: [alone[0]!.inputs[0]!, numbers, ...alone.flatMap(({ inputs }) => inputs.slice(1))],
        outputs: alone.map(({ outputs }) => outputs[0]!),
      };
      const withNorm = { ...joined, attributes: { ...joined.attributes, norm: 1, epsilon: EPSILON } };
      forEachVariant((set, threads) => {
        const [roots] = runOperator(normed(x, columns), set);
        for (const [whole, rows] of [
          [joined, x],
          [withNorm, roots!],
        ] as const) {
          const [turned] = runOperator(mapped(rows, left, right), set);
          for (const [i, y] of runOperator(whole, set, threads).entries()) {
            const [apart] = runOperator(product(turned!, weights[i]!, quantizer), set);
            assertSameBits(y, apart!, `${[tokens, left, right]} ${i} ${set} ${threads}`);
          }
        }
      });
    }
});

test('SwiGlu, Kronecker, a product and an addition in one: the bits of the four', { skip: notBuilt }, () => {
  for (const quantizer of QUANTIZERS)
    for (const [tokens, left, right] of MAPS) {
      const columns = left * right;
      const [gate, up] = [random(tokens * columns, 1, 4), random(tokens * columns, 2, 3)];
      const weight = weightOf(21, columns, 0, true);
      const addend = random(tokens * 21, 3);
      const plain = product(gate, weight, quantizer);
      const [x, ...packed] = plain.inputs;
      const numbers = mapped(gate, left, right).inputs[1]!;
      const joined: Operation = {
        ...plain,
        name: 'SwiGluKroneckerInt4MatMul',
        attributes: { ...plain.attributes, left },
        inputs: [x!, matrix(up, columns), numbers, ...packed],
      };
      const withAddend = { ...joined, inputs: [...joined.inputs, matrix(addend, 21)] };
      forEachVariant((set, threads) => {
        const what = `${[tokens, left, right]} ${set} ${threads}`;
        const [rows] = runOperator(alike('SwiGlu', gate, columns, [up]), set);
        const [turned] = runOperator(mapped(rows!, left, right), set);
        const [apart] = runOperator(product(turned!, weight, quantizer), set);
        assertSameBits(runOperator(joined, set, threads)[0]!, apart!, what);
        assertSameBits(runOperator(withAddend, set, threads)[0]!, sumOf(addend, apart!), `${what}, sum`);
      });
    }
});

test('a map in a product: the reference makes the rows that a product of its own reads', {
  skip: notBuilt,
}, () => {
  const [tokens, left, right] = [2, 3, 8];
  const x = random(tokens * left * right, 6, 2);
  const [turned] = runOperator(mapped(x, left, right), 'reference');
  const plain = product(x, identity(left * right), QUANTIZERS[0]!);
  const joined: Operation = {
    ...plain,
    name: 'KroneckerInt4MatMul',
    attributes: { ...plain.attributes, left },
    inputs: [plain.inputs[0]!, mapped(x, left, right).inputs[1]!, ...plain.inputs.slice(1)],
  };
  const wanted = rowsOf(left * right, tokens, (at) => turned![at]!);
  assertWithinSteps(runOperator(joined, 'reference')[0]!, wanted, 'reference');
});

/** Multiplies by 1: what comes out is the quantized row. */
function identity(columns: number): Weight {
  const codes = new Int8Array(columns * columns);
  for (let i = 0; i < columns; i++) codes[i * columns + i] = 1;
  return {
    ...{ rows: columns, columns, group: columns, codes },
    ...{ scales: new Float32Array(columns).fill(1), zeros: null },
  };
}

const silu = (x: number): number => x / (1 + Math.exp(-x));

/** scale (M × (Z · H)) of a block in double precision. */
function loops(block: readonly number[], { attributes, m }: Transform): number[] {
  const { order = 1, scale = 1 } = attributes;
  const width = block.length / order;
  const sign = (i: number, j: number): number => {
    let ones = 0;
    for (let bits = i & j; bits > 0; bits >>= 1) ones += bits & 1;
    return ones % 2 ? -1 : 1;
  };
  return block.map((_, at) => {
    const [row, column] = [Math.floor(at / width), at % width];
    let sum = 0;
    for (let k = 0; k < order; k++)
      for (let j = 0; j < width; j++)
        sum += (m ? Number(m.data[row * order + k]) : 1) * block[k * width + j]! * sign(j, column);
    return sum * scale;
  });
}

/**
 * A quantized value is within one step s of what it is made of: half of one for its own rounding and half for that of
 * the zero point, where the end of the range clamps it. Rows differ from those in double by less than s/100 besides: s
 * is the range / 255, and 1536 sums of float32 are off by 1e-5 of it at most.
 */
function assertWithinSteps(y: Float32Array, rows: readonly number[][], what: string): void {
  rows.forEach((row, token) => {
    const step = (Math.max(0, ...row) - Math.min(0, ...row)) / 255;
    row.forEach((value, i) => {
      const found = y[token * row.length + i]!;
      assert.ok(
        Math.abs(found - value) <= 1.01 * step,
        `${what}: ${found} at [${token}, ${i}], not ${value}`,
      );
    });
  });
}

const rowsOf = (columns: number, tokens: number, value: (at: number) => number): number[][] =>
  Array.from({ length: tokens }, (_, token) =>
    Array.from({ length: columns }, (_, i) => value(token * columns + i)),
  );

test('every body and the reference make the rows that loops in double make', { skip: notBuilt }, () => {
  const quantizer = QUANTIZERS[0]!;
  for (const [tokens, columns, block] of [
    [2, 24, 12],
    [3, 64, 32],
    [1, 72, 24],
  ] as const) {
    const [gate, up] = [random(tokens * columns, 4, 4), random(tokens * columns, 5, 3)];
    const [transform, weight] = [transformOf(block), identity(columns)];
    const made = rowsOf(columns, tokens, (at) => silu(gate[at]!) * up[at]!).map((row) =>
      Array.from({ length: columns / block }, (_, b) => row.slice(b * block, (b + 1) * block)).flatMap((z) =>
        loops(z, transform),
      ),
    );
    const roots = rowsOf(columns, tokens, (at) => gate[at]!).map((row) => {
      const square = row.reduce((sum, value) => sum + value * value, 0) / columns;
      return row.map((value) => value / Math.sqrt(square + EPSILON));
    });
    const plain = product(gate, weight, quantizer);
    const norm = { ...plain, attributes: { ...plain.attributes, norm: 1, epsilon: EPSILON } };
    for (const set of ['reference', ...addon!.instructionSets()]) {
      const what = `${[tokens, columns, block]} ${set}`;
      const both = joined([gate, up], weight, quantizer, transform, null);
      assertWithinSteps(runOperator(both, set)[0]!, made, what);
      assertWithinSteps(runOperator(norm, set)[0]!, roots, `norm ${what}`);
    }
  }
});

test('inputs that do not fit are refused', { skip: notBuilt }, () => {
  const [columns, tokens] = [24, 2];
  const [gate, up] = [random(tokens * columns, 1), random(tokens * columns, 2)];
  const weight = weightOf(5, columns, 0, false);
  const good = joined([gate, up], weight, QUANTIZERS[0]!, transformOf(12), random(tokens * 5, 3));
  const run = (operation: Operation) => () => runOperator(operation, 'portable');
  assert.doesNotThrow(run(good));
  const changed = (attributes: Record<string, number>) =>
    run({ ...good, attributes: { ...good.attributes, ...attributes } });
  assert.throws(changed({ block: 48 }), /the last dimension must be a multiple of block 48, found \[2, 24\]/);
  assert.throws(changed({ order: 1, block: 8 }), /input M must be \[1, 1\], found \[12, 12\]/);
  const swapped = { ...good, inputs: good.inputs.with(5, matrix(random(12, 1), 6)) };
  assert.throws(run(swapped), /the addend/);
  const plain = product(gate, weight, QUANTIZERS[0]!);
  const missing = { ...plain, attributes: { ...plain.attributes, rows2: 5 }, outputs: [10, 10] };
  assert.throws(run(missing), /a weight with its grid for each of rows, rows2 and rows3/);
});
