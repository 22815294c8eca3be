/** Attention over a cache that is filled in part, against loops in double precision. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import type { Shape as Case } from './packed-calls.ts';
import { assertRefused, type Given, givenCache, SMALL_CACHE } from './plain-calls.ts';
import {
  addon,
  assertClose,
  assertSameBits,
  EXP_ERROR,
  forEachVariant,
  notBuilt,
  ROUNDING,
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

const given = (shape: Case): Given => givenCache(shape, (numbers) => numbers, Number.NaN);

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
  const g = given(SMALL_CACHE);
  assertRefused(g, run);
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
