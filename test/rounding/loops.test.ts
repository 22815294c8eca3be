/** GPTQ's rounding by the LDL form against the textbook's inverse Hessian, in loops on both sides. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { factorInLoops } from '../../src/engine/rounding/factor-in-loops.ts';
import { type RowsToRound, roundInLoops } from '../../src/engine/rounding/gptq/round-in-loops.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import { noise } from '../helpers/tiny-network.ts';

const DAMPING = 0.01;

async function factor(h: Float32Array, n: number): Promise<Float32Array> {
  const t = new Float32Array(n * n);
  await factorInLoops(h, n, DAMPING, t);
  return t;
}

/** Σ x xᵀ [n, n] of samples whose channels are correlated. */
function secondMoment(n: number, samples: number, seed: number): Float32Array {
  const random = noise(seed);
  const mix = Float64Array.from({ length: n * n }, random);
  const h = new Float64Array(n * n);
  for (let sample = 0; sample < samples; sample++) {
    const source = Float64Array.from({ length: n }, (_, i) => random() / (1 + i));
    const x = Array.from({ length: n }, (_, i) => source.reduce((sum, s, k) => sum + s * mix[i * n + k]!, 0));
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) h[i * n + j]! += x[i]! * x[j]!;
  }
  return Float32Array.from(h);
}

function weightsOf(rows: number, columns: number, bits: number, groups: number, zero: number): RowsToRound {
  const random = noise(rows + columns);
  return {
    rows,
    columns,
    bits,
    w: Float32Array.from({ length: rows * columns }, random),
    scale: Float32Array.from({ length: rows * groups }, () => (1.5 + 0.5 * random()) / 2 ** bits),
    zero: new Float32Array(rows * groups).fill(zero),
  };
}

/** H + λI in double precision. */
function damped(h: Float32Array, n: number): Float64Array {
  const result = Float64Array.from(h);
  let trace = 0;
  for (let i = 0; i < n; i++) trace += result[i * n + i]!;
  for (let i = 0; i < n; i++) result[i * n + i]! += (DAMPING * trace) / n;
  return result;
}

/** A⁻¹ by Gauss-Jordan elimination; A is positive definite, so no pivot is zero. */
function inverse(a: Float64Array, n: number): Float64Array {
  const left = Float64Array.from(a);
  const right = new Float64Array(n * n);
  for (let i = 0; i < n; i++) right[i * n + i] = 1;
  for (let pivot = 0; pivot < n; pivot++) {
    const divisor = left[pivot * n + pivot]!;
    for (let i = 0; i < n; i++) {
      left[pivot * n + i]! /= divisor;
      right[pivot * n + i]! /= divisor;
    }
    for (let row = 0; row < n; row++) {
      const factor = left[row * n + pivot]!;
      if (row === pivot || factor === 0) continue;
      for (let i = 0; i < n; i++) {
        left[row * n + i]! -= factor * left[pivot * n + i]!;
        right[row * n + i]! -= factor * right[pivot * n + i]!;
      }
    }
  }
  return right;
}

function roundEven(x: number): number {
  const nearest = Math.round(x);
  return Math.abs(x - Math.trunc(x)) === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest;
}

/**
 * Frantar et al. 2023, algorithm 1, without its blocks: after column j is rounded, the columns that are left are moved
 * by −(error / [H⁻¹]_jj) [H⁻¹]_j,: and j is taken out of H⁻¹ by one step of elimination.
 */
function textbook({ w, rows, columns, bits, scale, zero }: RowsToRound, h: Float64Array): Int8Array {
  const left = Float64Array.from(w);
  const hinv = inverse(h, columns);
  const codes = new Int8Array(rows * columns);
  const groups = scale.length / rows;
  for (let j = 0; j < columns; j++) {
    const diagonal = hinv[j * columns + j]!;
    for (let row = 0; row < rows; row++) {
      const group = row * groups + Math.floor((j * groups) / columns);
      const at = row * columns + j;
      const code = roundEven(left[at]! / scale[group]!) + zero[group]!;
      codes[at] = Math.min(Math.max(code, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1);
      const error = (left[at]! - scale[group]! * (codes[at]! - zero[group]!)) / diagonal;
      for (let k = j; k < columns; k++) left[row * columns + k]! -= error * hinv[j * columns + k]!;
    }
    for (let a = j + 1; a < columns; a++) {
      const factor = hinv[a * columns + j]! / diagonal;
      for (let b = j + 1; b < columns; b++) hinv[a * columns + b]! -= factor * hinv[j * columns + b]!;
    }
  }
  return codes;
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
