/** Fused attention, forward and backward, against loops in double precision. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
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

/**
 * Products are computed in float32, in two pieces or in one, or so with keys that are whole multiples of units. Those of
 * the backward pass but for the scores may have one piece where scores have two.
 */
const PRODUCTS = ['float32', 'pieces', 'units', 'one', 'one units'] as const;
const BACKWARD_PRODUCTS = [...PRODUCTS, 'rounded', 'rounded units'] as const;
type Products = (typeof BACKWARD_PRODUCTS)[number];
const hasOne = (products: Products) => products.startsWith('one');
const hasUnits = (products: Products) => products.endsWith('units');
const isRounded = (products: Products) => products.startsWith('rounded');
/** A number of 8 bits is off by at most 2^-8 of itself, a product of two by so much of the sizes of its factors. */
const ONE_PIECE = 2 ** -7 + 2 ** -16;
/** A product of two pieces each is off by at most this, as a part of the sizes of its factors. */
const TWO_PIECES = 3 * 2 ** -16 + 2 ** -32;
const lost = (products: Products) => (hasOne(products) ? ONE_PIECE : products === 'float32' ? 0 : TWO_PIECES);
/** The same for products that are not of scores. */
const lostBehind = (products: Products) => (isRounded(products) ? ONE_PIECE : lost(products));
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

const PIECES = {
  float32: 0,
  pieces: 2,
  units: 2,
  one: 1,
  'one units': 1,
  rounded: 1,
  'rounded units': 1,
} as const;

interface Given {
  readonly q: ProbeTensor;
  readonly k: ProbeTensor;
  readonly v: ProbeTensor;
  readonly dO: ProbeTensor;
  readonly units: ProbeTensor | null;
  readonly attributes: Readonly<Record<string, number>>;
}

function given({ groups, repeats, rows, keys, width, window }: Case, products: Products = 'float32'): Given {
  const tensor = (count: number, seed: number): ProbeTensor => ({
    data: random(groups * count * width, seed),
    dims: [groups, count, width],
  });
  const units = new Float32Array(groups * keys).fill(1 / 15);
  const levels = random(groups * keys * width, 2, 15);
  const data = levels.map((level) => (hasUnits(products) ? Math.round(level) : level) * units[0]!);
  return {
    q: tensor(repeats * rows, 1),
    k: { data, dims: [groups, keys, width] },
    units: hasUnits(products) ? { data: units, dims: [groups, keys] } : null,
    v: tensor(keys, 3),
    dO: tensor(repeats * rows, 4),
    attributes: {
      scale: 1 / Math.sqrt(width),
      rows,
      window,
      pieces: PIECES[products],
      score_pieces: hasOne(products) ? 1 : 2,
    },
  };
}

function forward(
  { q, k, v, units, attributes }: Given,
  isa: string,
  threads = 1,
): [Float32Array, Float32Array] {
  const outputs = [q.data.length, q.data.length / q.dims[2]!];
  const inputs = [q, k, v, units];
  return runOperator({ name: 'CausalAttention', attributes, inputs, outputs }, isa, threads) as [
    Float32Array,
    Float32Array,
  ];
}

function backward(g: Given, o: Float32Array, lse: Float32Array, isa: string, threads = 1): Float32Array[] {
  const { q, k, v, dO, units, attributes } = g;
  const inputs = [q, k, v, { data: o, dims: q.dims }, { data: lse, dims: q.dims.slice(0, 2) }, dO, units];
  const outputs = [q.data.length, k.data.length, v.data.length];
  return runOperator({ name: 'CausalAttentionGrad', attributes, inputs, outputs }, isa, threads);
}

/** |score| ≤ √width; a score carries one rounding per term and for the scaled query, and what its product leaves out. */
const scoreError = (width: number, products: Products) =>
  ((width + 2) * ROUNDING + lost(products)) * Math.sqrt(width);
/** Relative error of a probability: its score, the running maximum's corrections, the sum of exponentials. */
const probabilityError = ({ width, keys }: Case, products: Products) =>
  2 * scoreError(width, products) + (keys / BLOCK + 3) * EXP_ERROR + (keys + 8) * ROUNDING;

function checkForward(shape: Case, products: Products): void {
  const g = given(shape, products);
  const [o, lse] = forward(g, 'reference');
  const relative = probabilityError(shape, products) + (shape.keys + 2) * ROUNDING + lost(products);
  forEachVariant((isa, threads) => {
    const [actual, actualLse] = forward(g, isa, threads);
    // |v| ≤ 1 and probabilities sum to one.
    assertClose(actual, o, () => relative, `o ${products} ${isa} ${threads}`);
    assertClose(actualLse, lse, () => relative + ROUNDING * 8, `lse ${products} ${isa} ${threads}`);
  });
}

function checkBackward(shape: Case, products: Products): void {
  const { width, rows, repeats, keys } = shape;
  const g = given(shape, products);
  const [o, lse] = forward({ ...g, attributes: { ...g.attributes, pieces: 0 } }, 'reference');
  const expected = backward(g, o, lse, 'reference');
  const ones = { ...g, dO: { data: new Float32Array(g.dO.data.length).fill(1), dims: g.dO.dims } };
  // With ∂o = 1 each row of ∂v is the sum of the probabilities of its key.
  const sums = backward(ones, o, lse, 'reference')[2]!;
  const p = probabilityError(shape, products);
  // ∂o·v and D are sums of `width` products below one.
  const dsError = 2 * width * p + (2 * (width + 2) * ROUNDING + lostBehind(products)) * width;
  const terms = rows * repeats;
  const rounding = (count: number) => ((count + 4) * ROUNDING + lostBehind(products)) * 2 * width;
  const summed = (i: number, each: number) => sums[i]! * (each + rounding(terms));
  const scale = 1 / Math.sqrt(width);
  const bounds = [
    () => scale * (dsError + rounding(keys)),
    (i: number) => scale * summed(i, dsError),
    (i: number) => summed(i, p),
  ];
  forEachVariant((isa, threads) => {
    backward(g, o, lse, isa, threads).forEach((actual, k) => {
      assertClose(actual, expected[k]!, bounds[k]!, `∂${'qkv'[k]} ${products} ${isa} ${threads}`);
    });
  });
}

for (const shape of CASES) {
  test(`CausalAttention ${JSON.stringify(shape)}`, { skip: notBuilt }, () => {
    for (const products of PRODUCTS) checkForward(shape, products);
  });

  test(`CausalAttentionGrad ${JSON.stringify(shape)}`, { skip: notBuilt }, () => {
    for (const products of BACKWARD_PRODUCTS) checkBackward(shape, products);
  });
}

test('attention does not depend on the number of threads', { skip: notBuilt }, () => {
  const shape = { groups: 2, repeats: 2, rows: 1100, keys: 1100, width: 16, window: 0 };
  for (const products of PRODUCTS)
    for (const isa of addon!.instructionSets()) {
      const g = given(shape, products);
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
  assert.throws(() => forward({ ...g, attributes: { ...g.attributes, pieces: 3 } }, 'portable'), /pieces/);
  const units = { data: new Float32Array(3), dims: [1, 3] };
  assert.throws(() => forward({ ...g, units }, 'portable'), /one entry per row of K, found \[1, 3\]/);
});
