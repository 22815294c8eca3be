/** Attention over packed keys and values, against loops in double precision and the fake-quantized network. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { ASYMMETRIC, type Case, type Given, given, multipliesBytes, run, VALUES } from './packed-calls.ts';
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
  {
    shape: { groups: 1, repeats: 1, rows: 1, capacity: 1, length: 0, width: 1, window: 0 },
    keys: ASYMMETRIC,
    values: VALUES,
  },
  // Several chunks of 512 tokens for one row.
  {
    shape: { groups: 2, repeats: 4, rows: 1, capacity: 1300, length: 1203, width: 64, window: 0 },
    keys: ASYMMETRIC,
    values: VALUES,
  },
  {
    shape: { groups: 1, repeats: 3, rows: 1, capacity: 1040, length: 1024, width: 64, window: 0 },
    keys: { ...ASYMMETRIC, bits: 8 },
    values: { ...VALUES, bits: 8 },
  },
  {
    shape: { groups: 3, repeats: 2, rows: 1, capacity: 20, length: 20, width: 8, window: 0 },
    keys: { ...ASYMMETRIC, symmetric: 1 },
    values: { ...VALUES, bits: 8 },
  },
  // Rows in blocks of their own, one chunk, and steps of 256 tokens.
  {
    shape: { groups: 2, repeats: 4, rows: 7, capacity: 590, length: 566, width: 33, window: 0 },
    keys: { ...ASYMMETRIC, bits: 8, clip_ratio: 0.95 },
    values: { ...VALUES, symmetric: 1, clip_ratio: 0.95 },
  },
  {
    shape: { groups: 2, repeats: 5, rows: 39, capacity: 60, length: 13, width: 128, window: 0 },
    keys: { ...ASYMMETRIC, group: 32 },
    values: { ...VALUES, group: 64 },
  },
  {
    shape: { groups: 1, repeats: 7, rows: 2, capacity: 90, length: 66, width: 36, window: 0 },
    keys: { ...ASYMMETRIC, group: 12 },
    values: { ...VALUES, group: 18, bits: 8 },
  },
  // Windows that end among the new tokens, at the first of them, and in the cache.
  {
    shape: { groups: 2, repeats: 1, rows: 9, capacity: 40, length: 13, width: 12, window: 4 },
    keys: ASYMMETRIC,
    values: VALUES,
  },
  {
    shape: { groups: 1, repeats: 2, rows: 1, capacity: 40, length: 13, width: 80, window: 1 },
    keys: ASYMMETRIC,
    values: { ...VALUES, symmetric: 1 },
  },
  {
    shape: { groups: 2, repeats: 2, rows: 3, capacity: 1150, length: 1140, width: 16, window: 70 },
    keys: { ...ASYMMETRIC, symmetric: 1, bits: 8 },
    values: VALUES,
  },
  // So many rows that these lie in the lanes: behind a cache, in a window, in groups, over several steps of 128 tokens.
  {
    shape: { groups: 2, repeats: 3, rows: 77, capacity: 300, length: 275, width: 33, window: 0 },
    keys: ASYMMETRIC,
    values: { ...VALUES, bits: 8 },
  },
  {
    shape: { groups: 1, repeats: 2, rows: 300, capacity: 1, length: 0, width: 24, window: 37 },
    keys: { ...ASYMMETRIC, bits: 8, group: 12 },
    values: { ...VALUES, symmetric: 1, group: 12 },
  },
  {
    shape: { groups: 2, repeats: 1, rows: 32, capacity: 16, length: 9, width: 144, window: 0 },
    keys: { ...ASYMMETRIC, symmetric: 1 },
    values: VALUES,
  },
  // Keys with a constant part.
  {
    shape: { groups: 2, repeats: 3, rows: 1, capacity: 700, length: 611, width: 24, window: 0 },
    keys: ASYMMETRIC,
    values: VALUES,
    terms: 24,
  },
  {
    shape: { groups: 2, repeats: 2, rows: 6, capacity: 40, length: 21, width: 10, window: 8 },
    keys: ASYMMETRIC,
    values: VALUES,
    terms: 7,
  },
];

/**
 * How far results may be from exact ones. |q| ≤ 1, and s (c + |z|) ≤ 4 for every scale s here: codes times their scale
 * are at most the range 2, doubled by clipped symmetric codes, zero points times theirs at most 1 and half a step. A
 * score is the sum of h products of q times codes less q times zero points, with a rounding for each, one for the scale
 * in q, one for Σq and four for each group; coefficients add as many as they are. Exponents are off by twice that, since
 * the highest score is taken off. Exponentials add their error once for themselves, once for each step of 256 tokens that
 * brings a new highest score, and once where chunks are brought together. Then come the sums over T tokens of weights
 * times codes and times zero points, at most 4 in size, and of the weights, all with a few roundings more.
 */
function bound({ shape, keys, values, terms = 0 }: Case, isa: string): number {
  const { rows, length, width } = shape;
  const [tokens, groups] = [length + rows, keys.group ? width / keys.group : 1];
  const sums = (4 * Math.sqrt(width) * (width + 2 + 4 * groups) + terms * (terms + 1)) * ROUNDING;
  const whole = multipliesBytes(isa) ? 1 : 0;
  const score = sums + whole * wholeScore(width, keys.bits);
  const steps = Math.ceil(tokens / 256) + 2;
  const mixed = 4 * (2 * tokens + 2 * steps + 8) * ROUNDING + whole * wholeMix(shape, values.bits);
  return 1.1 * (2 * score + 2 * (steps + 1) * EXP_ERROR) + mixed;
}

/** Of two numbers in five bytes, each is off by 8.5 units, of which the largest number has so many. */
const PAIRED = 8.5 / 8323072;

/**
 * What whole numbers add to a score: a channel of a query is off by half a unit, at most 2^-22 of the largest one, or by
 * that of a pair at 4 bits, and by roundings before that. It meets s |c − z| ≤ 2, h times, over √h. Three sums of bytes
 * make one of products.
 */
const wholeScore = (width: number, bits: number): number =>
  2 * Math.sqrt(width) * ((bits > 4 ? 2 ** -22 : PAIRED) + 4 * ROUNDING);

/**
 * What they add to a result: a weight is off by half a unit, at most 2^-21 of the largest one in its step of 256 tokens,
 * and all of the step together weigh at least that one. Two in five bytes are off by twice what they are of the highest
 * power of two, and up to 16 by half of 2^8 units where a window begins. Codes times the largest scale of a step are at
 * most 4.
 */
function wholeMix({ rows, length, window }: Case['shape'], bits: number): number {
  const tokens = Math.min(length + rows, 256);
  if (bits > 4) return 4 * tokens * 2 ** -21;
  return 4 * 2 * (tokens + (window > 0 ? (16 * 128.5) / 8.5 : 0)) * PAIRED;
}

for (const each of CASES) {
  const what = `${JSON.stringify(each.shape)} ${each.keys.bits}/${each.values.bits} bits${each.terms ? ', constant part' : ''}`;
  test(`PackedAttention ${what}`, { skip: notBuilt }, () => {
    const g = given(each);
    const expected = run(g, 'reference');
    forEachVariant((isa, threads) =>
      assertClose(run(g, isa, threads), expected, () => bound(each, isa), `${isa} ${threads}`),
    );
  });
}

test('attention over packed tokens is that of the fake-quantized network', { skip: notBuilt }, () => {
  for (const each of CASES.filter(({ terms }) => !terms)) {
    const { plain, attributes, ...g } = given(each);
    const { scale, rows, window } = attributes;
    const count = g.inputs[9]!;
    const expected = runOperator(
      {
        name: 'CachedAttention',
        attributes: { scale: scale!, rows: rows!, window: window! },
        inputs: [plain.q, plain.keys, plain.values, plain.pastKeys, plain.pastValues, count],
        outputs: [plain.q.data.length],
      },
      'reference',
    )[0]!;
    // One rounding each where s (c − z) becomes a float there.
    const error = (isa: string) =>
      bound(each, isa) + 1.1 * 2 * Math.sqrt(each.shape.width) * ROUNDING + 1.1 * ROUNDING;
    forEachVariant((isa, threads) =>
      assertClose(
        run({ attributes, ...g }, isa, threads),
        expected,
        () => error(isa),
        `${JSON.stringify(each.shape)} ${isa}`,
      ),
    );
  }
});

test('attention over packed tokens does not depend on the number of threads', { skip: notBuilt }, () => {
  for (const rows of [1, 9]) {
    const shape = { groups: 2, repeats: 3, rows, capacity: 1400, length: 1333, width: 40, window: 0 };
    const g = given({ shape, keys: ASYMMETRIC, values: VALUES });
    for (const isa of addon!.instructionSets()) assertSameBits(run(g, isa, 3), run(g, isa, 1), isa);
  }
});

test('what packed tokens that are not seen hold does not matter', { skip: notBuilt }, () => {
  // The window begins within a block, and the cache ends within one.
  const shape = { groups: 1, repeats: 3, rows: 1, capacity: 1150, length: 1141, width: 32, window: 66 };
  const g = given({ shape, keys: ASYMMETRIC, values: VALUES });
  const values = g.inputs[7]!;
  const data = Int8Array.from(values.data as Int8Array);
  const [blockBytes, tokenBytes] = [values.dims.at(-1)!, shape.width / 2];
  for (let token = 0; token < shape.capacity; token++) {
    if (token > shape.length - shape.window && token < shape.length) continue;
    const start = Math.floor(token / 16) * blockBytes + (token % 16) * tokenBytes;
    for (let i = start; i < start + tokenBytes; i++) data[i] = ~data[i]!;
  }
  const other = { ...g, inputs: g.inputs.with(7, { ...values, data }) };
  for (const isa of addon!.instructionSets()) assertSameBits(run(other, isa), run(g, isa), isa);
});

test('attention over packed tokens refuses what does not fit', { skip: notBuilt }, () => {
  const shape = { groups: 2, repeats: 2, rows: 1, capacity: 40, length: 30, width: 8, window: 0 };
  const g = given({ shape, keys: ASYMMETRIC, values: VALUES });
  const changed = (at: number, tensor: ProbeTensor | null): Given => ({
    ...g,
    inputs: g.inputs.with(at, tensor),
  });
  const length = (count: number): Given => changed(9, { data: BigInt64Array.of(BigInt(count)), dims: [1] });
  assert.equal(run(length(48), 'portable').length, 32);
  assert.throws(
    () => run(length(49), 'portable'),
    /keys of the cache.*at least 4 blocks.*found \[2, 3, 96\]/,
  );
  assert.throws(() => run(length(-1), 'portable'), /length must be from 0 to the capacity, found -1/);
  assert.throws(
    () => run({ ...g, attributes: { ...g.attributes, value_bits: 8 } }, 'portable'),
    /new values.*160\]/,
  );
  assert.throws(
    () => run({ ...g, attributes: { ...g.attributes, key_group: 3 } }, 'portable'),
    /group 3, found 8/,
  );
  const coefficients = { data: new Float32Array(8), dims: [2, 2, 2] };
  assert.throws(
    () => run(changed(10, coefficients), 'portable'),
    /table \[positions, n\].*found \[2, 2, 2\] and nothing/,
  );
  const table = { data: new Float32Array(60), dims: [30, 2] };
  const withTable = { ...g, inputs: g.inputs.with(10, coefficients).with(11, table) };
  assert.throws(() => run(withTable, 'portable'), /at least 31 positions/);
});
