/** Products with one piece for each number, and of floats with codes in whole numbers of 16 bits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  absolute,
  assertClose,
  assertSameBits,
  forEachVariant,
  notBuilt,
  type Operation,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

/** [M, K, N]: edges of panels and blocks, the depth in parts, and more than one block of the depth. */
const SHAPES = [
  [1, 1, 1],
  [33, 31, 47],
  [100, 513, 70],
  [17, 40, 2100],
  [2080, 33, 5],
  [50, 1700, 90],
  [40, 3300, 37],
] as const;
type Dims = readonly [m: number, k: number, n: number];

/** A bfloat16 number is off by at most 2^-8 of the number that it is nearest to. */
const ONE_PIECE = 2 ** -7 + 2 ** -16;

function product([m, k, n]: Dims, transA: 0 | 1, transB: 0 | 1, change = (x: Float32Array) => x): Operation {
  return {
    name: 'SplitGemm',
    attributes: { transA, transB, pieces: 1 },
    inputs: [
      { data: change(random(m * k, 1)), dims: transA ? [k, m] : [m, k] },
      { data: change(random(k * n, 2)), dims: transB ? [n, k] : [k, n] },
    ],
    outputs: [m * n],
  };
}

test('SplitGemm in one piece against loops in double precision', { skip: notBuilt }, () => {
  for (const shape of SHAPES)
    for (const transA of [0, 1] as const)
      for (const transB of [0, 1] as const) {
        const operation = product(shape, transA, transB);
        const expected = runOperator(operation, 'reference')[0]!;
        const sizes = runOperator(product(shape, transA, transB, absolute), 'reference')[0]!;
        // A rounding per pair of products, which may be two, and one per block of the depth.
        const relative = (2 * shape[1] + 4) * ROUNDING + ONE_PIECE;
        forEachVariant((instructionSet, threads) => {
          const [actual] = runOperator(operation, instructionSet, threads);
          assertClose(
            actual!,
            expected,
            (i) => relative * sizes[i]!,
            `${shape} ${instructionSet} ${threads}`,
          );
        });
      }
});

test('numbers of 8 bits are multiplied exactly in one piece', { skip: notBuilt }, () => {
  const [m, k, n] = [70, 500, 45];
  const whole = (count: number, seed: number) => random(count, seed, 15).map(Math.round);
  const operation: Operation = {
    name: 'SplitGemm',
    attributes: { transB: 1, pieces: 1 },
    inputs: [
      { data: whole(m * k, 1), dims: [m, k] },
      { data: whole(n * k, 2), dims: [n, k] },
    ],
    outputs: [m * n],
  };
  const expected = runOperator(operation, 'reference')[0]!;
  forEachVariant((instructionSet) => {
    assertSameBits(runOperator(operation, instructionSet)[0]!, expected, instructionSet);
  });
});

/** op(A) op(B) with codes on one side; the other factor may be transposed. */
function ofCodes(side: 'A' | 'B', [m, k, n]: Dims, transposed: 0 | 1, other: Float32Array, sizes = false) {
  const [rows, width] = side === 'A' ? [m, k] : [k, n];
  const [high, wide] = side === 'A' ? [k, n] : [m, k];
  const codes = Int8Array.from(random(rows * width, 3, 128), (value) =>
    sizes ? Math.abs(Math.trunc(value)) : Math.trunc(value),
  );
  const scales = random(rows, 5, 0.4).map((value) => Math.abs(value) + 0.01);
  return {
    name: 'CodeGemm',
    attributes: { codesOfB: side === 'A' ? 0 : 1, transposeOther: transposed, pieces: 2 },
    inputs: [
      { data: codes, dims: [rows, width] },
      { data: scales, dims: [rows] },
      { data: other, dims: transposed ? [wide, high] : [high, wide] },
    ],
    outputs: [m * n],
  } satisfies Operation;
}

for (const side of ['A', 'B'] as const)
  test(`floats by codes of ${side} in two pieces, or in whole numbers`, { skip: notBuilt }, () => {
    for (const shape of SHAPES)
      for (const transposed of [0, 1] as const) {
        const [m, k, n] = shape;
        const count = side === 'A' ? k * n : m * k;
        const other = random(count, 9);
        const expected = runOperator(ofCodes(side, shape, transposed, other), 'reference')[0]!;
        const sizesOf = (x: Float32Array) =>
          runOperator(ofCodes(side, shape, transposed, x, true), 'reference')[0]!;
        const sizes = sizesOf(absolute(other));
        // Numbers are below one, and with factors along the depth below the largest of these times as much: half a unit.
        const spread = side === 'A' ? 1 : 0.41 / 0.01;
        const halves = sizesOf(other.map(() => (0.5 * spread) / 21845));
        const relative = (4.5 * k + 8) * ROUNDING + 2 ** -16;
        forEachVariant((instructionSet, threads) => {
          const [actual] = runOperator(ofCodes(side, shape, transposed, other), instructionSet, threads);
          const bound = (i: number) =>
            relative * sizes[i]! + (instructionSet === 'avx512_bf16' ? halves[i]! : 0);
          assertClose(actual!, expected, bound, `${shape} ${transposed} ${instructionSet} ${threads}`);
        });
      }
  });

test('a number that is not finite is not lost in whole numbers', { skip: notBuilt }, () => {
  const shape = [20, 70, 30] as const;
  for (const lost of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const other = random(20 * 70, 9);
    other[3 * 70 + 40] = lost;
    const inputs = ofCodes('B', shape, 0, other);
    forEachVariant((instructionSet) => {
      const [actual] = runOperator(inputs, instructionSet);
      assert.ok(
        actual!.every((value, i) => Number.isFinite(value) === (Math.floor(i / shape[2]) !== 3)),
        `${lost} ${instructionSet}`,
      );
    });
  }
});
