/** Products of a few rows with a bfloat16 matrix as it is stored. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  assertClose,
  assertSameBits,
  bfloat16,
  forEachVariant,
  notBuilt,
  type Operation,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

/** Rows, depth and width: none, one, less than a vector, whole vectors and what is left of them, more than a share of work. */
const SHAPES = [
  [1, 1, 1],
  [1, 3, 5],
  [2, 16, 7],
  [3, 67, 33],
  [4, 64, 129],
  [1, 576, 1031],
  [2, 0, 3],
  [0, 8, 3],
  [1, 8, 0],
] as const;

function operation(
  [rows, depth, width]: readonly [number, number, number],
  change = (x: Float32Array): Float32Array => x,
): Operation {
  return {
    name: 'StoredRows',
    attributes: {},
    inputs: [
      { data: change(random(rows * depth, 1)), dims: [rows, depth] },
      { data: bfloat16(change(random(width * depth, 2, 3))), dims: [width, depth] },
    ],
    outputs: [rows * width],
  };
}

test('StoredRows against loops in double precision, with the same bits on any number of threads', {
  skip: notBuilt,
}, () => {
  for (const shape of SHAPES) {
    const expected = runOperator(operation(shape), 'reference')[0]!;
    const sizes = runOperator(
      operation(shape, (x) => x.map(Math.abs)),
      'reference',
    )[0]!;
    const alone = new Map<string, Float32Array>();
    forEachVariant((isa, threads) => {
      const [found] = runOperator(operation(shape), isa, threads) as [Float32Array];
      // A product and a sum for each number, at most one rounding each, and that of the reference's result.
      const relative = (2 * shape[1] + 1) * ROUNDING;
      assertClose(found, expected, (i) => relative * sizes[i]!, `${shape} ${isa} ${threads}`);
      assertSameBits(found, alone.get(isa) ?? found, `${shape} ${isa} ${threads}`);
      alone.set(isa, found);
    });
  }
});

test('StoredRows takes no factors that do not fit', { skip: notBuilt }, () => {
  const { inputs, ...rest } = operation([2, 16, 7]);
  const other = { ...inputs[1]!, dims: [16, 7] };
  assert.throws(
    () => runOperator({ ...rest, inputs: [inputs[0]!, other] }, 'portable'),
    /multiplies \[T, K\]/,
  );
});
