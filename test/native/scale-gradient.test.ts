import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  assertClose,
  difficultRows,
  forEachVariant,
  notBuilt,
  type Operation,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

/** The range of a group and the first elements at its ends. */
function endsOf(x: Float32Array, symmetric: number, includeZero: number): { range: number; at: number[] } {
  const sizes = symmetric ? x.map(Math.abs) : x;
  const [low, high] = [sizes.reduce((a, b) => Math.min(a, b)), sizes.reduce((a, b) => Math.max(a, b))];
  const top = sizes.indexOf(high);
  if (symmetric) return { range: high, at: [top] };
  const range = includeZero ? Math.max(high, 0) - Math.min(low, 0) : high - low;
  return { range, at: [top, sizes.indexOf(low)] };
}

function checkScaleGrad(rows: number, width: number, bits: number, symmetric: number): void {
  const group = width === 288 ? 32 : width;
  const dims = [rows, width];
  const attributes = { group: group === width ? 0 : group, symmetric, include_zero: rows % 2 };
  const x = difficultRows(width, rows);
  const dy = random(rows * width, bits);
  const quantize = { bits, clip_ratio: bits === 4 ? 0.9 : 1, ...attributes };
  const outputs = [rows * width];
  const [y] = runOperator(
    { name: 'FakeQuantize', attributes: quantize, inputs: [{ data: x, dims }], outputs },
    'reference',
  );
  const inputs = [x, y!, dy].map((data) => ({ data, dims }));
  const operation: Operation = { name: 'FakeQuantizeScaleGrad', attributes, inputs, outputs };
  const [expected] = runOperator(operation, 'reference');
  // Only the ends of a range differ from dy: by a sum over the group in at least 4 lanes, divided by the range. Then
  // the result is rounded, and so is that of the reference.
  const tolerances = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += group) {
    const { range, at } = endsOf(x.subarray(start, start + group), symmetric, attributes.include_zero);
    let terms = 0;
    for (let i = start; i < start + group; i++) terms += Math.abs(dy[i]! * (y![i]! - x[i]!));
    // Below the normal numbers each term is rounded to a multiple of 2^-149.
    const error = (group / 4 + 10) * ROUNDING * terms + group * 2 ** -149;
    if (range > 0)
      for (const i of at)
        tolerances[start + i] = error / range + 2 * ROUNDING * Math.abs(expected![start + i]!);
  }
  expected!.forEach((value, i) => {
    if (tolerances[i] === 0) assert.equal(value, dy[i], `the reference itself, element ${i}`);
  });
  forEachVariant((instructionSet, threads) => {
    const [dx] = runOperator(operation, instructionSet, threads);
    const what = `${JSON.stringify(quantize)} [${dims}] ${instructionSet} ${threads}`;
    assertClose(dx!, expected!, (i) => tolerances[i]!, what);
  });
}

test('FakeQuantizeScaleGrad: every instruction set gives the reference', { skip: notBuilt }, () => {
  for (const width of [1, 3, 172, 288, 576, 11008]) {
    for (const rows of width > 10000 ? [3] : [1, 4, 65]) {
      for (const bits of [2, 4, 8])
        for (const symmetric of [0, 1]) checkScaleGrad(rows, width, bits, symmetric);
    }
  }
});

/** dx of one group, the same on every instruction set. */
function scaleGradient(x: number[], y: number[], dy: number[], attributes: Record<string, number>): number[] {
  const inputs = [x, y, dy].map((numbers) => ({ data: Float32Array.from(numbers), dims: [numbers.length] }));
  const operation = { name: 'FakeQuantizeScaleGrad', attributes, inputs, outputs: [x.length] };
  const expected = Array.from(runOperator(operation, 'reference')[0]!);
  forEachVariant((instructionSet) => {
    assert.deepEqual(Array.from(runOperator(operation, instructionSet)[0]!), expected, instructionSet);
  });
  return expected;
}

test('FakeQuantizeScaleGrad: values by hand, the first of ties, one value', { skip: notBuilt }, () => {
  // Scale 1: D = 13·0.25 - 0.25 = 3, over a range of 3.
  const ties = [0, 3, 0, 3, 0.75, 1.25];
  const rounded = [0, 3, 0, 3, 1, 1];
  assert.deepEqual(scaleGradient(ties, rounded, [1, 1, 1, 1, 13, 1], {}), [0, 2, 1, 1, 13, 1]);
  // The 0 that the range is made to include is no element.
  assert.deepEqual(scaleGradient([1, 2, 4], [0, 2, 4], [4, 1, 1], { include_zero: 1 }), [4, 1, 0]);
  assert.deepEqual(scaleGradient([-1, -2, -4], [0, -2, -4], [4, 1, 1], { include_zero: 1 }), [4, 1, 0]);
  // D = 5·(0 - 0.75) + 0.75 = -3, over the first element of size 3, which is -3.
  const signs = [0.75, -3, 3, -0.75, -3, 0];
  const dy = [5, 1, 1, 1, 1, 1];
  assert.deepEqual(scaleGradient(signs, [0, -3, 3, 0, -3, 0], dy, { symmetric: 1 }), [5, 2, 1, 1, 1, 1]);
  for (const flat of [0, 0.7, -0.2]) {
    const x = [flat, flat, flat];
    assert.deepEqual(scaleGradient(x, x, [1, 2, 3], {}), [1, 2, 3]);
  }
  for (const symmetric of [0, 1]) {
    assert.deepEqual(scaleGradient([0, 0], [0, 0], [1, 2], { symmetric, include_zero: 1 }), [1, 2]);
  }
  // Ties far apart in a long group, in places that any vector width reaches in its own way.
  const long = Array.from({ length: 1000 }, (_, i) =>
    i === 517 || i === 900 ? 2 : i === 777 || i === 999 ? -2 : 0.5,
  );
  const moved = long.map((value) => (value === 0.5 ? 0 : value));
  const found = scaleGradient(
    long,
    moved,
    long.map(() => 1),
    {},
  );
  // D = -0.5·996 = -498 over 4.
  assert.deepEqual([found[517], found[777], found[900], found[999]], [1 - 124.5, 1 + 124.5, 1, 1]);
});

test('FakeQuantizeScaleGrad: shapes that do not fit are said', { skip: notBuilt }, () => {
  const run = (dims: number[][], attributes: Record<string, number>) => () => {
    const inputs = dims.map((shape) => ({ data: new Float32Array(shape[0]! * shape[1]!), dims: shape }));
    runOperator({ name: 'FakeQuantizeScaleGrad', attributes, inputs, outputs: [6] }, 'portable');
  };
  const [a, b] = [
    [2, 3],
    [3, 2],
  ] as [number[], number[]];
  assert.throws(run([a, b, a], {}), /X and Y must have the same shape, found \[2, 3\] and \[3, 2\]/);
  assert.throws(run([a, a, b], {}), /X and dY must have the same shape, found \[2, 3\] and \[3, 2\]/);
  assert.throws(run([a, a, a], { group: 2 }), /multiple of group 2, found \[2, 3\]/);
});
