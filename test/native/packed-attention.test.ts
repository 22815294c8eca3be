/** Attention over packed keys and values, against loops in double precision and the fake-quantized network. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { fakeQuantized, pack, type Quantizer, type Tokens, withCapacity } from './packed-tokens.ts';
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

interface Shape {
  readonly groups: number;
  readonly repeats: number;
  readonly rows: number;
  readonly capacity: number;
  readonly length: number;
  readonly width: number;
  readonly window: number;
}

const ASYMMETRIC = { bits: 4, symmetric: 0, include_zero: 1, clip_ratio: 1, group: 0 } as const;
const VALUES = { ...ASYMMETRIC, include_zero: 0 } as const;

interface Case {
  readonly shape: Shape;
  readonly keys: Quantizer;
  readonly values: Quantizer;
  /** Numbers of the constant part's table; 0 for none. */
  readonly terms?: number;
}

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

interface Given {
  readonly attributes: Readonly<Record<string, number>>;
  readonly inputs: readonly (ProbeTensor | null)[];
  /** What the cache and the new tokens hold, as numbers. */
  readonly plain: Readonly<Record<'q' | 'keys' | 'values' | 'pastKeys' | 'pastValues', ProbeTensor>>;
}

const attributesOf = ({ rows, window, width }: Shape, keys: Quantizer, values: Quantizer) => ({
  ...{ scale: 1 / Math.sqrt(width), rows, window },
  ...{ key_bits: keys.bits, key_group: keys.group, key_zeros: keys.symmetric ? 0 : 1 },
  ...{ value_bits: values.bits, value_group: values.group, value_zeros: values.symmetric ? 0 : 1 },
});

function given({ shape, keys, values, terms = 0 }: Case): Given {
  const { groups, repeats, rows, capacity, length, width } = shape;
  const tokens = (count: number, seed: number): Tokens => ({
    ...{ x: random(groups * count * width, seed), heads: groups, tokens: count, width },
  });
  const packed = (of: Tokens, quantizer: Quantizer, isKeys: 0 | 1, room: number) => {
    const { codes, scales } = withCapacity(pack(of, quantizer, isKeys, 'reference'), of.tokens, room);
    return [codes, scales];
  };
  const [own, past] = [
    [tokens(rows, 2), tokens(rows, 3)] as const,
    [tokens(length, 4), tokens(length, 5)] as const,
  ];
  const plain = (of: Tokens, quantizer: Quantizer): ProbeTensor => ({
    ...{ data: fakeQuantized(of, quantizer), dims: [groups, of.tokens, width] },
  });
  const q = { data: random(groups * repeats * rows * width, 1), dims: [groups, repeats * rows, width] };
  const count = { data: BigInt64Array.of(BigInt(length)), dims: [1] };
  const constant = [
    { data: random(groups * repeats * rows * terms, 6), dims: [groups, repeats * rows, terms] },
    { data: random((length + rows) * terms, 7), dims: [length + rows, terms] },
  ];
  return {
    attributes: attributesOf(shape, keys, values),
    inputs: [
      q,
      ...packed(own[0], keys, 1, rows),
      ...packed(own[1], values, 0, rows),
      ...packed(past[0], keys, 1, capacity),
      ...packed(past[1], values, 0, capacity),
      count,
      ...(terms ? constant : [null, null]),
    ],
    plain: {
      q,
      keys: plain(own[0], keys),
      values: plain(own[1], values),
      pastKeys: plain(past[0], keys),
      pastValues: plain(past[1], values),
    },
  };
}

function run(
  { attributes, inputs }: Pick<Given, 'attributes' | 'inputs'>,
  isa: string,
  threads = 1,
): Float32Array {
  const outputs = [inputs[0]!.data.length];
  return runOperator({ name: 'PackedAttention', attributes, inputs, outputs }, isa, threads)[0]!;
}

/**
 * How far results may be from exact ones. |q| ≤ 1, and s (c + |z|) ≤ 4 for every scale s here: codes times their scale
 * are at most the range 2, doubled by clipped symmetric codes, zero points times theirs at most 1 and half a step. A
 * score is the sum of h products of q times codes less q times zero points, with a rounding for each, one for the scale
 * in q, one for Σq and four for each group; coefficients add as many as they are. Exponents are off by twice that, since
 * the highest score is taken off. Exponentials add their error once for themselves, once for each step of 256 tokens that
 * brings a new highest score, and once where chunks are brought together. Then come the sums over T tokens of weights
 * times codes and times zero points, at most 4 in size, and of the weights, all with a few roundings more.
 */
function bound({ shape: { rows, length, width }, keys, terms = 0 }: Case): number {
  const [tokens, groups] = [length + rows, keys.group ? width / keys.group : 1];
  const score = (4 * Math.sqrt(width) * (width + 2 + 4 * groups) + terms * (terms + 1)) * ROUNDING;
  const steps = Math.ceil(tokens / 256) + 2;
  return 1.1 * (2 * score + 2 * (steps + 1) * EXP_ERROR) + 4 * (2 * tokens + 2 * steps + 8) * ROUNDING;
}

for (const each of CASES) {
  const what = `${JSON.stringify(each.shape)} ${each.keys.bits}/${each.values.bits} bits${each.terms ? ', constant part' : ''}`;
  test(`PackedAttention ${what}`, { skip: notBuilt }, () => {
    const g = given(each);
    const expected = run(g, 'reference');
    forEachVariant((isa, threads) =>
      assertClose(run(g, isa, threads), expected, () => bound(each), `${isa} ${threads}`),
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
    const error = bound(each) + 1.1 * 2 * Math.sqrt(each.shape.width) * ROUNDING + 1.1 * ROUNDING;
    forEachVariant((isa, threads) =>
      assertClose(
        run({ attributes, ...g }, isa, threads),
        expected,
        () => error,
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
