/** GPTQ's rounding by the LDL form against the textbook's inverse Hessian, in loops on both sides. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { factorInLoops } from '../../src/engine/rounding/gptq/factor-in-loops.ts';
import { type RowsToRound, roundInLoops } from '../../src/engine/rounding/gptq/round-in-loops.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import { DAMPING, damped, secondMoment, textbook, weightsOf } from './textbook.ts';

async function factor(h: Float32Array, n: number): Promise<Float32Array> {
  const t = new Float32Array(n * n);
  await factorInLoops(h, n, DAMPING, t);
  return t;
}

/** Σ (W − Q) H (W − Q)ᵀ over rows. */
function errorOf(
  { w, rows, columns, scale, zero }: RowsToRound,
  codes: Int8Array,
  h: ArrayLike<number>,
): number {
  const groups = scale.length / rows;
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const e = Array.from({ length: columns }, (_, j) => {
      const group = row * groups + Math.floor((j * groups) / columns);
      return w[row * columns + j]! - scale[group]! * (codes[row * columns + j]! - zero[group]!);
    });
    for (let a = 0; a < columns; a++)
      for (let b = 0; b < columns; b++) total += e[a]! * h[a * columns + b]! * e[b]!;
  }
  return total;
}

const nearest = (weights: RowsToRound): Promise<Int8Array> => {
  const { columns } = weights;
  const identity = Float32Array.from({ length: columns ** 2 }, (_, i) => (i % (columns + 1) === 0 ? 1 : 0));
  return roundInLoops(weights, identity);
};

const CASES: [string, RowsToRound, number][] = [
  ['4 bits, symmetric', weightsOf(9, 24, 4, 1, 0), 60],
  ['2 bits', weightsOf(5, 16, 2, 1, 0), 60],
  ['8 bits, zero points', weightsOf(5, 16, 8, 1, -100), 60],
  ['groups with zero points', weightsOf(6, 24, 4, 3, -3), 60],
  ['fewer samples than inputs', weightsOf(7, 24, 4, 1, 0), 5],
  ['one column', weightsOf(3, 1, 4, 1, 0), 4],
];

for (const [name, weights, samples] of CASES) {
  test(`the textbook's codes: ${name}`, async () => {
    const { columns } = weights;
    const h = secondMoment(columns, samples, 3);
    const codes = await roundInLoops(weights, await factor(h, columns));
    assert.deepEqual(codes, textbook(weights, damped(h, columns)));
  });

  test(`less error of outputs than rounding to nearest: ${name}`, async () => {
    const { columns } = weights;
    const h = secondMoment(columns, samples, 3);
    const codes = await roundInLoops(weights, await factor(h, columns));
    const [ours, plain] = [errorOf(weights, codes, h), errorOf(weights, await nearest(weights), h)];
    assert.ok(columns === 1 ? ours === plain : ours < plain, `${ours} against ${plain}`);
  });
}

test('TᵀT = H + λI, T lower triangular', async () => {
  const n = 20;
  const h = secondMoment(n, 50, 1);
  const t = await factor(h, n);
  const wanted = damped(h, n);
  const largest = Math.max(...wanted);
  for (let a = 0; a < n; a++) {
    for (let b = 0; b < n; b++) {
      if (b > a) assert.equal(t[a * n + b], 0);
      let sum = 0;
      for (let i = 0; i < n; i++) sum += t[i * n + a]! * t[i * n + b]!;
      // T is rounded to float32 once, which is off by 2⁻²⁴ of each factor of n products that are at most the diagonal.
      assert.ok(Math.abs(sum - wanted[a * n + b]!) <= 2 * 2 ** -24 * largest, `${a}, ${b}: ${sum}`);
    }
  }
});

test('inputs that were never seen are rounded to nearest, and so is everything where nothing was seen', async () => {
  const weights = weightsOf(4, 12, 4, 1, 0);
  const h = secondMoment(12, 40, 2);
  for (let i = 0; i < 12; i++) h[5 * 12 + i] = h[i * 12 + 5] = 0;
  const codes = await roundInLoops(weights, await factor(h, 12));
  const plain = await nearest(weights);
  for (let row = 0; row < 4; row++) assert.equal(codes[row * 12 + 5], plain[row * 12 + 5]);
  assert.deepEqual(await roundInLoops(weights, await factor(new Float32Array(144), 12)), plain);
});

test('long loops stop when they are told to', async () => {
  const n = 900;
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 1);
  const h = secondMoment(n, 2, 4);
  await assert.rejects(factorInLoops(h, n, DAMPING, new Float32Array(n * n), controller.signal), Cancelled);
  const weights = weightsOf(3000, n, 4, 1, 0);
  await assert.rejects(roundInLoops(weights, await factor(h, n), controller.signal), Cancelled);
});
