/** LDLQ and its sweeps as a textbook writes them, in double precision, with points found by trying all of a book. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { factorInLoops } from '../../src/engine/rounding/factor-in-loops.ts';
import { blockFeedback, blockGain } from '../../src/engine/rounding/quip/block-factors.ts';
import { TRIPLES } from '../../src/engine/rounding/quip/e8p.ts';
import {
  type LatticeBits,
  type LatticePoints,
  latticeInLoops,
  latticeValues,
} from '../../src/engine/rounding/quip/round-in-loops.ts';
import { noise } from '../helpers/tiny-network.ts';
import { e8Points, e8pPoints } from './lattice-books.ts';

const N = 24;
const DAMPING = 0.01;
const E8P = e8pPoints(TRIPLES);
const E8 = e8Points();
type Matrix = number[][];

/** H = E[x xᵀ] of inputs that correlate, mean 1 on its diagonal, and weights of the size of the codebook. */
function task(rows: number, seed: number): { h: Float32Array; w: Float32Array } {
  const random = noise(seed);
  const mixing = Array.from({ length: 6 * N }, random);
  const h = new Float64Array(N * N);
  for (let sample = 0; sample < 50; sample++) {
    const causes = Array.from({ length: 6 }, random);
    const x = Array.from({ length: N }, (_, i) =>
      causes.reduce((sum, cause, k) => sum + cause * mixing[k * N + i]!, 0.6 * random()),
    );
    for (let i = 0; i < N; i++) for (let j = 0; j < N; j++) h[i * N + j]! += x[i]! * x[j]!;
  }
  let mean = 0;
  for (let i = 0; i < N; i++) mean += h[i * N + i]! / N;
  const w = Float32Array.from({ length: rows * N }, () => 1.5 * random());
  return { h: Float32Array.from(h, (value) => value / mean), w };
}

const rowsOf = (flat: Float32Array, columns: number): Matrix =>
  Array.from({ length: flat.length / columns }, (_, i) => [...flat.subarray(i * columns, (i + 1) * columns)]);

/** A B, A [m, k], B [k, n]. */
const times = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0]!.map((_, j) => row.reduce((sum, value, k) => sum + value * b[k]![j]!, 0)));

const block = (a: Matrix, rows: number, columns: number): Matrix =>
  a.slice(rows, rows + 8).map((row) => row.slice(columns, columns + 8));

/** A⁻¹ by Gauss-Jordan elimination. */
function inverse(a: Matrix): Matrix {
  const wide = a.map((row, i) => [...row, ...row.map((_, j) => Number(i === j))]);
  for (const [pivot, own] of wide.entries()) {
    const divisor = own[pivot]!;
    for (let j = 0; j < own.length; j++) own[j]! /= divisor;
    for (const other of wide.filter((row) => row !== own)) {
      const factor = other[pivot]!;
      for (let j = 0; j < own.length; j++) other[j]! -= factor * own[j]!;
    }
  }
  return wide.map((row) => row.slice(a.length));
}

/** L of H = L D Lᵀ with blocks of eight, by eliminating one block of columns after the other. */
function blockLdl(h: Matrix): Matrix {
  const rest = h.map((row) => [...row]);
  const lower = h.map((row, i) => row.map((_, j) => Number(i === j)));
  for (let k = 0; k < N; k += 8) {
    const pivot = inverse(block(rest, k, k));
    for (let i = k + 8; i < N; i += 8) {
      const factor = times(block(rest, i, k), pivot);
      for (let a = 0; a < 8; a++) for (let b = 0; b < 8; b++) lower[i + a]![k + b] = factor[a]![b]!;
      const change = times(factor, rest.slice(k, k + 8));
      for (let a = 0; a < 8; a++) for (let j = 0; j < N; j++) rest[i + a]![j]! -= change[a]![j]!;
    }
  }
  return lower;
}

function nearest(x: readonly number[], points: Float64Array): number[] {
  let [least, place] = [Infinity, 0];
  for (let at = 0; at < points.length; at += 8) {
    let off = 0;
    for (let i = 0; i < 8; i++) off += (x[i]! - points[at + i]!) ** 2;
    if (off < least) [least, place] = [off, at];
  }
  return [...points.subarray(place, place + 8)];
}

function quantize(
  x: readonly number[],
  bits: LatticeBits,
): { first: number[]; second: number[]; q: number[] } {
  const first = nearest(x, E8P);
  if (bits === 2) return { first, second: first.map(() => 0), q: first };
  const scale = bits === 4 ? 3.45 : 2.04;
  const second = nearest(
    x.map((value, i) => (value - first[i]!) * scale),
    bits === 4 ? E8P : E8,
  );
  return { first, second, q: first.map((value, i) => value + second[i]! / scale) };
}

function textbook(w: Matrix, h: Matrix, bits: LatticeBits, sweeps: number): LatticePoints {
  const lower = blockLdl(h);
  const result = { first: new Int8Array(w.length * N), second: new Int8Array(w.length * N) };
  for (const [row, own] of w.entries()) {
    const rounded = own.map(() => 0);
    for (let sweep = 0; sweep <= sweeps; sweep++)
      for (let k = N - 8; k >= 0; k -= 8) {
        const error = own.map((value, j) => value - rounded[j]!);
        const later = error.map((value, j) => (j >= k + 8 ? value : 0));
        const columns = (a: Matrix): Matrix => a.map((values) => values.slice(k, k + 8));
        const [move] =
          sweep === 0
            ? times([later], columns(lower))
            : times(times([error], columns(h)), inverse(block(h, k, k)));
        const from = sweep === 0 ? own : rounded;
        const { first, second, q } = quantize(
          move!.map((value, c) => from[k + c]! + value),
          bits,
        );
        for (let c = 0; c < 8; c++) {
          rounded[k + c] = q[c]!;
          result.first[row * N + k + c] = 4 * first[c]!;
          result.second[row * N + k + c] = 4 * second[c]!;
        }
      }
  }
  return result;
}

async function ours(
  w: Float32Array,
  h: Float32Array,
  bits: LatticeBits,
  sweeps: number,
): Promise<LatticePoints> {
  const t = new Float32Array(N * N);
  await factorInLoops(h.toReversed(), N, DAMPING, t);
  const factors = { feedback: await blockFeedback(t, N), gain: await blockGain(h, N, DAMPING) };
  return latticeInLoops({ w, rows: w.length / N, columns: N, bits, sweeps, ...factors });
}

const withDamping = (h: Float32Array): Float32Array =>
  h.map((value, at) => value + (at % (N + 1) === 0 ? DAMPING : 0));

/** Σ e H eᵀ over rows. */
function loss(w: Float32Array, h: Float32Array, values: Float32Array): number {
  const errors = rowsOf(
    w.map((value, i) => value - values[i]!),
    N,
  );
  const hs = rowsOf(h, N);
  return errors.reduce(
    (sum, e) => sum + times([e], hs)[0]!.reduce((own, value, j) => own + value * e[j]!, 0),
    0,
  );
}

for (const bits of [2, 3, 4] as const) {
  test(`${bits} bits: the same points`, async () => {
    const { h, w } = task(3, 4 + bits);
    const expected = textbook(rowsOf(w, N), rowsOf(withDamping(h), N), bits, 2);
    assert.deepEqual(await ours(w, h, bits, 2), expected);
  });

  test(`${bits} bits: over many rows, less loss than without feedback`, async () => {
    const { h, w } = task(64, 1);
    const identity = Float32Array.from(h, (_, at) => Number(at % (N + 1) === 0));
    const lossOf = async (by: Float32Array, sweeps: number): Promise<number> =>
      loss(w, withDamping(h), latticeValues(await ours(w, by, bits, sweeps), bits));
    const [nearestLoss, fed, swept] = [await lossOf(identity, 0), await lossOf(h, 0), await lossOf(h, 10)];
    // Sweeps choose the nearest point, not the one of least loss: they need not lessen what feedback left.
    assert.ok(fed < nearestLoss, `feedback: ${fed} against ${nearestLoss}`);
    assert.ok(swept < nearestLoss, `sweeps: ${swept} against ${nearestLoss}`);
  });
}

test('the factor of blocks is that of elimination', async () => {
  const { h } = task(1, 1);
  const t = new Float32Array(N * N);
  await factorInLoops(h.toReversed(), N, DAMPING, t);
  const feedback = await blockFeedback(t, N);
  const expected = blockLdl(rowsOf(withDamping(h), N));
  // T is rounded to float32, and what is solved with it is off by that times the condition of a damped block.
  const bound = 8 * 2 ** -24 * (N / DAMPING);
  for (let i = 0; i < N; i++)
    for (let j = 0; j < N; j++) {
      const found = feedback[(j - (j % 8)) * N + i * 8 + (j % 8)]!;
      assert.ok(
        Math.abs(found - expected[i]![j]!) <= bound,
        `L[${i}][${j}] is ${found}, not ${expected[i]![j]}`,
      );
    }
});
