import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addon,
  assertClose,
  forEachVariant,
  notBuilt,
  type Operation,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

interface Case {
  readonly block: number;
  readonly order?: number;
  readonly blocksPerRow?: number;
  readonly rows: number;
  readonly transpose?: boolean;
  readonly entries?: 'signs' | 'any';
}

function operationOf({
  block,
  order = 1,
  blocksPerRow = 1,
  rows,
  transpose = false,
  entries = 'signs',
}: Case): Operation {
  const width = block * blocksPerRow;
  const matrix = random(order * order, 7);
  const m = entries === 'signs' ? matrix.map((x) => (x < 0 ? -1 : 1)) : matrix;
  return {
    name: 'Hadamard',
    attributes: { block, order, scale: 1 / Math.sqrt(block), transpose: Number(transpose) },
    inputs: [
      { data: random(rows * width, block + rows), dims: [rows, width] },
      order > 1 ? { data: m, dims: [order, order] } : null,
    ],
    outputs: [rows * width],
  };
}

/**
 * An output is a signed sum of the block's entries: whatever the order of additions, no entry passes through more
 * than `depth` roundings, so the error is at most depth · u · Σ|x| · scale (Higham, Accuracy and Stability, §4.2).
 */
function toleranceOf(operation: Operation, { block, order = 1 }: Case): (index: number) => number {
  const x = operation.inputs[0]!.data as Float32Array;
  const sums = Float64Array.from({ length: x.length / block }, (_, b) =>
    x.subarray(b * block, (b + 1) * block).reduce((total, value) => total + Math.abs(value), 0),
  );
  const depth = Math.log2(block / order) + order + 2;
  return (index) => depth * ROUNDING * sums[Math.floor(index / block)]! * operation.attributes.scale!;
}

function check(item: Case): void {
  const operation = operationOf(item);
  const [expected] = runOperator(operation, 'reference');
  const tolerance = toleranceOf(operation, item);
  forEachVariant((instructionSet, threads) => {
    const [actual] = runOperator(operation, instructionSet, threads);
    assertClose(
      actual!,
      expected!,
      tolerance,
      `${JSON.stringify(item)} ${instructionSet} ${threads} threads`,
    );
  });
}

test('Hadamard: powers of two from 1 to 32768', { skip: notBuilt }, () => {
  for (let block = 1; block <= 32768; block *= 2) for (const rows of [1, 3]) check({ block, rows });
});

test('Hadamard: several blocks in a row, many rows', { skip: notBuilt }, () => {
  for (const block of [1, 2, 4, 8, 16, 64, 128, 256, 512]) check({ block, blocksPerRow: 3, rows: 65 });
});

test('Hadamard: order times a power of two, both ways round', { skip: notBuilt }, () => {
  for (const [order, block] of [
    [12, 12],
    [12, 24],
    [36, 288],
    [36, 576],
    [12, 1536],
    [20, 80],
    [28, 28 * 32],
    [172, 172],
    [172, 344],
    [172, 11008],
    [148, 18944],
    [76, 76 * 16],
  ] as const) {
    for (const transpose of [false, true]) check({ block, order, rows: 3, transpose });
    check({ block, order, rows: 1 });
  }
  check({ block: 36 * 4, order: 36, blocksPerRow: 2, rows: 65 });
});

test('Hadamard: a matrix of any entries, and of odd order', { skip: notBuilt }, () => {
  check({ block: 3, order: 3, rows: 65, entries: 'any' });
  check({ block: 3, order: 3, rows: 1, entries: 'any', transpose: true });
  check({ block: 5 * 64, order: 5, rows: 3, entries: 'any' });
  check({ block: 7 * 16, order: 7, rows: 3 });
  check({ block: 1023 * 2, order: 1023, rows: 2 });
});

test('Hadamard: in place, twice is the identity', { skip: notBuilt }, () => {
  for (const block of [64, 576]) {
    const order = block === 576 ? 9 : 1;
    const x = random(5 * block, 3);
    const copy = x.slice();
    // The 9 × 9 reflection I - (2/9)·11ᵀ is its own inverse; so is the normalized Sylvester matrix.
    const m = Float32Array.from({ length: 81 }, (_, i) => (i % 10 === 0 ? 1 : 0) - 2 / 9);
    const matrix = order > 1 ? { data: m, dims: [9, 9] } : null;
    const attributes = { block, order, scale: 1 / Math.sqrt(block / order) };
    for (let i = 0; i < 2; i++) {
      addon!.runOperator(
        'Hadamard',
        'portable',
        attributes,
        [{ data: x, dims: [5, block] }, matrix],
        [x],
        1,
        1,
      );
    }
    // Two transforms of depth log2 64 + 9 + 2 with sums of at most 64·9 entries below 1, scaled by 1/8 and norms 1.
    assertClose(x, copy, () => 2 * 17 * ROUNDING * block, `block ${block}`);
  }
});

test('Hadamard: what does not fit is refused in words', { skip: notBuilt }, () => {
  const x = { data: new Float32Array(24), dims: [1, 24] };
  const run = (attributes: Record<string, number>) =>
    addon!.runOperator('Hadamard', 'portable', attributes, [x], [new Float32Array(24)], 1, 1);
  assert.throws(() => run({ block: 24 }), /order times a power of two, found block 24, order 1/);
  assert.throws(() => run({ block: 16 }), /multiple of block 16, found \[1, 24\]/);
  assert.throws(() => run({ block: 24, order: 12 }), /M must be \[12, 12\], found nothing/);
  assert.throws(() => run({ block: 0 }), /block must be at least 1, found 0/);
});
