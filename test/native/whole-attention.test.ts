/** Attention over packed keys and values in whole numbers: what rounding to bytes must not do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { ASYMMETRIC, type Case, type Given, given, multipliesBytes, run, VALUES } from './packed-calls.ts';
import { addon, assertClose, assertSameBits, notBuilt } from './support.ts';

const variants = addon?.instructionSets() ?? [];
const skip = notBuilt || (!variants.some(multipliesBytes) && 'this processor has no products of bytes');

const CASE: Case = {
  shape: { groups: 1, repeats: 3, rows: 1, capacity: 700, length: 612, width: 64, window: 0 },
  keys: ASYMMETRIC,
  values: VALUES,
};

/** The call with the floats of an input changed. */
function changed(g: Given, at: number, change: (floats: Float32Array) => void): Given {
  const tensor = g.inputs[at]!;
  const data = Float32Array.from(tensor.data as Float32Array);
  change(data);
  const inputs: (ProbeTensor | null)[] = g.inputs.with(at, { data, dims: tensor.dims });
  return { ...g, inputs };
}

const [QUERIES, KEY_SCALES, VALUE_SCALES] = [0, 6, 8];

/**
 * The first token is worth e^14 of the others and has the value zero, as in networks that rest attention on it. What is
 * left is the sum of the others, each below 2^-20 of the largest weight: a unit for all tokens would leave out most.
 */
test('tokens that weigh little beside one of an earlier step are not lost', { skip }, () => {
  const g = given(CASE);
  const lonely = changed(
    changed(g, KEY_SCALES, (scales) => scales.fill(0)),
    VALUE_SCALES,
    (scales) => scales.fill(0, 0, 256),
  );
  const [length, terms] = [CASE.shape.length + 1, 1];
  const table = new Float32Array(length * terms);
  table[0] = 14;
  const inputs = lonely.inputs
    .with(10, { data: new Float32Array(3 * terms).fill(1), dims: [1, 3, terms] })
    .with(11, { data: table, dims: [length, terms] });
  const expected = run({ ...lonely, inputs }, 'reference');
  const largest = Math.max(...expected.map(Math.abs));
  // Weights are e^-14 each of a total of 1: results are sums of 357 of them, of values of up to 1.
  assert.ok(largest < 357 * Math.exp(-14) && largest > 5 * Math.exp(-14), String(largest));
  // Each of 357 weights is off by half a unit, at most 2^-21 of the largest of its step, times s |c - z| ≤ 4, and by a
  // few roundings and errors of exponentials, 2^-20 together.
  const bound = 357 * Math.exp(-14) * 4 * (2 ** -21 + 2 ** -20);
  assert.ok(bound < largest / 100);
  for (const isa of variants.filter(multipliesBytes))
    assertClose(run({ ...lonely, inputs }, isa), expected, () => bound, isa);
});

test('what is not finite gives NaN where it is seen, and nothing where it is not', { skip: notBuilt }, () => {
  const g = given(CASE);
  for (const isa of variants) {
    const usual = run(g, isa);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const found = run(
        changed(g, QUERIES, (q) => {
          q[64 + 5] = bad;
        }),
        isa,
      );
      assertSameBits(found.slice(0, 64), usual.slice(0, 64), `${isa}, the query before`);
      assertSameBits(found.slice(128), usual.slice(128), `${isa}, the query behind`);
      assert.ok(found.slice(64, 128).every(Number.isNaN), `${isa}, a query with ${bad}`);
      const scale = changed(g, VALUE_SCALES, (scales) => {
        scales[300] = bad;
      });
      assert.ok(run(scale, isa).every(Number.isNaN), `${isa}, a scale of ${bad}`);
      const windowed = { ...scale, attributes: { ...scale.attributes, window: 200 } };
      const finite = { ...g, attributes: { ...g.attributes, window: 200 } };
      assertSameBits(run(windowed, isa), run(finite, isa), `${isa}, a scale of ${bad} out of sight`);
    }
  }
});

test('queries and scales may be as small as floats are', { skip }, () => {
  const g = given(CASE);
  for (const isa of variants.filter(multipliesBytes))
    for (const factor of [0, 1e-37, 1e-44]) {
      const times = (floats: Float32Array) => floats.set(floats.map((value) => value * factor));
      const small = changed(changed(g, QUERIES, times), VALUE_SCALES, times);
      // Equal weights of values that are as good as zero, but for the token that is new: its values are not changed.
      const found = run(small, isa);
      assertClose(found, run(small, 'reference'), () => 4 * (2 ** -21 + 613 * 2 ** -23), `${isa} ${factor}`);
    }
});
