/** Attention over a cache that is filled in part, against loops in double precision. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import type { Shape as Case } from './packed-calls.ts';
import {
  addon,
  assertClose,
  assertSameBits,
  EXP_ERROR,
  forEachVariant,
  notBuilt,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

const CASES: readonly Case[] = [
  { groups: 1, repeats: 1, rows: 1, capacity: 1, length: 0, width: 1, window: 0 },
  { groups: 3, repeats: 2, rows: 1, capacity: 20, length: 20, width: 8, window: 0 },
  { groups: 4, repeats: 3, rows: 1, capacity: 300, length: 203, width: 64, window: 0 },
  { groups: 2, repeats: 4, rows: 7, capacity: 90, length: 66, width: 33, window: 0 },
  // Windows that end among the new tokens, at the first of them, and in the cache.
  { groups: 2, repeats: 1, rows: 9, capacity: 40, length: 13, width: 12, window: 4 },
  { groups: 1, repeats: 2, rows: 1, capacity: 40, length: 13, width: 80, window: 1 },
  { groups: 2, repeats: 2, rows: 3, capacity: 150, length: 140, width: 16, window: 70 },
];

interface Given {
  readonly attributes: Readonly<Record<string, number>>;
  readonly inputs: readonly ProbeTensor[];
}

/** What lies in the cache past its length must not matter: it is not a number. */
function given({ groups, repeats, rows, capacity, length, width, window }: Case): Given {
  const tensor = (count: number, seed: number): ProbeTensor => ({
    data: random(groups * count * width, seed),
    dims: [groups, count, width],
  });
  const past = (seed: number): ProbeTensor => {
    const { data, dims } = tensor(capacity, seed);
    for (let group = 0; group < groups; group++)
      (data as Float32Array).fill(
        Number.NaN,
        (group * capacity + length) * width,
        (group + 1) * capacity * width,
      );
    return { data, dims };
  };
  const count: ProbeTensor = { data: BigInt64Array.of(BigInt(length)), dims: [1] };
  return {
    attributes: { scale: 1 / Math.sqrt(width), rows, window },
    inputs: [tensor(repeats * rows, 1), tensor(rows, 2), tensor(rows, 3), past(4), past(5), count],
  };
}

function run({ attributes, inputs }: Given, isa: string, threads = 1): Float32Array {
  const outputs = [inputs[0]!.data.length];
  return runOperator({ name: 'CachedAttention', attributes, inputs, outputs }, isa, threads)[0]!;
}

for (const shape of CASES)
  test(`CachedAttention ${JSON.stringify(shape)}`, { skip: notBuilt }, () => {
    const g = given(shape);
    const expected = run(g, 'reference');
    const keys = shape.length + shape.rows;
    // |score| ≤ √width, with one rounding per term and two for the scale; exponents are off by twice that, since the
    // highest is taken off. Exponentials and their sum add theirs, then the sum over |v| ≤ 1 with its weights.
    const score = (shape.width + 2) * ROUNDING * Math.sqrt(shape.width);
    const error = 2 * score + 2 * EXP_ERROR + (2 * keys + 8) * ROUNDING;
    forEachVariant((isa, threads) =>
      assertClose(run(g, isa, threads), expected, () => error, `${isa} ${threads}`),
    );
  });

test('attention over a cache does not depend on the number of threads', { skip: notBuilt }, () => {
  const g = given({ groups: 6, repeats: 3, rows: 2, capacity: 400, length: 333, width: 40, window: 0 });
  for (const isa of addon!.instructionSets()) assertSameBits(run(g, isa, 3), run(g, isa, 1), isa);
});

test('attention over a cache refuses what does not fit', { skip: notBuilt }, () => {
  const g = given({ groups: 2, repeats: 2, rows: 1, capacity: 9, length: 4, width: 8, window: 0 });
  const withLength = (length: number, dims = [1]): Given => ({
    ...g,
    inputs: [...g.inputs.slice(0, 5), { data: BigInt64Array.of(BigInt(length)), dims }],
  });
  assert.throws(() => run(withLength(10), 'portable'), /length must be from 0 to the capacity 9, found 10/);
  assert.throws(() => run(withLength(-1), 'portable'), /found -1/);
  assert.throws(() => run(withLength(4, []), 'portable'), /length must be \[1\], found \[\]/);
  const otherRows = { ...g, attributes: { ...g.attributes, rows: 2 } };
  assert.throws(() => run(otherRows, 'portable'), /K and V \[\.\.\., 2, h\].*found \[2, 2, 8\], \[2, 1, 8\]/);
  const [q, k, v, past, , length] = g.inputs as [
    ProbeTensor,
    ProbeTensor,
    ProbeTensor,
    ProbeTensor,
    never,
    ProbeTensor,
  ];
  const shorter = { ...past, dims: [2, 4, 8], data: past.data.slice(0, 64) } as ProbeTensor;
  assert.throws(() => run({ ...g, inputs: [q, k, v, past, shorter, length] }, 'portable'), /past K.*past V/);
});
