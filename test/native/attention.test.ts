/** Fused attention, forward and backward, against loops in double precision. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import {
  addon,
  assertClose,
  assertSameBits,
  forEachVariant,
  notBuilt,
  ROUNDING,
  random,
  runOperator,
} from './support.ts';

/** Relative error that the vectorised exponential may have. */
const EXP_ERROR = 4e-7;
const BLOCK = 64;

interface Case {
  readonly groups: number;
  readonly repeats: number;
  readonly rows: number;
  readonly keys: number;
  readonly width: number;
  readonly window: number;
}

const CASES: readonly Case[] = [
  { groups: 1, repeats: 1, rows: 1, keys: 1, width: 1, window: 0 },
  { groups: 2, repeats: 3, rows: 5, keys: 5, width: 8, window: 0 },
  { groups: 1, repeats: 2, rows: 49, keys: 64, width: 64, window: 0 },
  { groups: 3, repeats: 1, rows: 130, keys: 130, width: 32, window: 0 },
  { groups: 1, repeats: 1, rows: 97, keys: 131, width: 80, window: 7 },
  { groups: 1, repeats: 2, rows: 200, keys: 200, width: 12, window: 70 },
  { groups: 1, repeats: 1, rows: 1100, keys: 1100, width: 5, window: 0 },
];

interface Given {
  readonly q: ProbeTensor;
  readonly k: ProbeTensor;
  readonly v: ProbeTensor;
  readonly dO: ProbeTensor;
  readonly attributes: Readonly<Record<string, number>>;
}

function given({ groups, repeats, rows, keys, width, window }: Case): Given {
  const tensor = (count: number, seed: number): ProbeTensor => ({
    data: random(groups * count * width, seed),
    dims: [groups, count, width],
  });
  return {
    q: tensor(repeats * rows, 1),
    k: tensor(keys, 2),
    v: tensor(keys, 3),
    dO: tensor(repeats * rows, 4),
    attributes: { scale: 1 / Math.sqrt(width), rows, window },
  };
}

function forward({ q, k, v, attributes }: Given, isa: string, threads = 1): [Float32Array, Float32Array] {
  const outputs = [q.data.length, q.data.length / q.dims[2]!];
  return runOperator({ name: 'CausalAttention', attributes, inputs: [q, k, v], outputs }, isa, threads) as [
    Float32Array,
    Float32Array,
  ];
}

function backward(g: Given, o: Float32Array, lse: Float32Array, isa: string, threads = 1): Float32Array[] {
  const { q, k, v, dO, attributes } = g;
  const inputs = [q, k, v, { data: o, dims: q.dims }, { data: lse, dims: q.dims.slice(0, 2) }, dO];
  const outputs = [q.data.length, k.data.length, v.data.length];
  return runOperator({ name: 'CausalAttentionGrad', attributes, inputs, outputs }, isa, threads);
}

/** |score| ≤ √width; a score carries one rounding per term and for the scaled query. */
const scoreError = (width: number) => (width + 2) * ROUNDING * Math.sqrt(width);
/** Relative error of a probability: its score, the running maximum's corrections, the sum of exponentials. */
const probabilityError = ({ width, keys }: Case) =>
  2 * scoreError(width) + (keys / BLOCK + 3) * EXP_ERROR + (keys + 8) * ROUNDING;

for (const shape of CASES) {
  test(`CausalAttention ${JSON.stringify(shape)}`, { skip: notBuilt }, () => {
    const g = given(shape);
    const [o, lse] = forward(g, 'reference');
    const relative = probabilityError(shape) + (shape.keys + 2) * ROUNDING;
    forEachVariant((isa, threads) => {
      const [actual, actualLse] = forward(g, isa, threads);
      // |v| ≤ 1 and probabilities sum to one.
      assertClose(actual, o, () => relative, `o ${isa} ${threads}`);
      assertClose(actualLse, lse, () => relative + ROUNDING * 8, `lse ${isa} ${threads}`);
    });
  });

  test(`CausalAttentionGrad ${JSON.stringify(shape)}`, { skip: notBuilt }, () => {
    const g = given(shape);
    const [o, lse] = forward(g, 'reference');
    const expected = backward(g, o, lse, 'reference');
    const ones = { ...g, dO: { data: new Float32Array(g.dO.data.length).fill(1), dims: g.dO.dims } };
    // With ∂o = 1 each row of ∂v is the sum of the probabilities of its key.
    const sums = backward(ones, o, lse, 'reference')[2]!;
    // ∂o·v and D are sums of `width` products below one.
    const dsError =
      2 * shape.width * probabilityError(shape) + 2 * (shape.width + 2) * ROUNDING * shape.width;
    const terms = shape.rows * shape.repeats;
    const summed = (i: number, each: number) => sums[i]! * (each + (terms + 4) * ROUNDING * 2 * shape.width);
    const scale = 1 / Math.sqrt(shape.width);
    const bounds = [
      () => scale * (dsError + (shape.keys + 4) * ROUNDING * 2 * shape.width),
      (i: number) => scale * summed(i, dsError),
      (i: number) => summed(i, probabilityError(shape)),
    ];
    forEachVariant((isa, threads) => {
      backward(g, o, lse, isa, threads).forEach((actual, k) => {
        assertClose(actual, expected[k]!, bounds[k]!, `∂${'qkv'[k]} ${isa} ${threads}`);
      });
    });
  });
}

test('attention does not depend on the number of threads', { skip: notBuilt }, () => {
  const g = given({ groups: 2, repeats: 2, rows: 1100, keys: 1100, width: 16, window: 0 });
  for (const isa of addon!.instructionSets()) {
    const [o, lse] = forward(g, isa, 1);
    assertSameBits(forward(g, isa, 3)[0], o, isa);
    const one = backward(g, o, lse, isa, 1);
    for (const [i, actual] of backward(g, o, lse, isa, 3).entries()) assertSameBits(actual, one[i]!, isa);
  }
});

test('attention refuses shapes that do not fit', { skip: notBuilt }, () => {
  const g = given({ groups: 1, repeats: 1, rows: 4, keys: 4, width: 8, window: 0 });
  const attributes = { ...g.attributes, rows: 5 };
  assert.throws(() => forward({ ...g, attributes }, 'portable'), /repeats \* 5/);
  assert.throws(() => forward({ ...g, attributes: { ...g.attributes, scale: 0 } }, 'portable'), /scale/);
});
