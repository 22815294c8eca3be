/** FOEM, GPTAQ, Qronos' first column and sweeps against their authors' loops in double precision. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Drift } from '../../src/engine/calibration/drift.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { asymmetricFeedback } from '../../src/engine/rounding/gptq/asymmetric-feedback.ts';
import { orderByMoment, reorder } from '../../src/engine/rounding/gptq/column-order.ts';
import { correctionOf } from '../../src/engine/rounding/gptq/correction.ts';
import type { RowsToRound } from '../../src/engine/rounding/gptq/round-in-loops.ts';
import { RoundingKernels } from '../../src/engine/rounding/gptq/rounding-kernels.ts';
import { reverseFactor } from '../../src/engine/rounding/reverse-cholesky.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise } from '../helpers/tiny-network.ts';
import { DAMPING, damped, secondMoment, textbook, weightsOf } from './textbook.ts';
import { asymmetric, outputLoss, ownOrder, qronos, type Rounded } from './textbook-additions.ts';

/**
 * A value is off by roundings of float32, 2⁻²⁴ of a sum of at most 64 terms of a few steps each, times what solving with
 * moments whose damped condition is below 200 makes of it: values nearer to a tie than this say nothing.
 */
const MARGIN = 1e-4;

interface Problem {
  readonly weights: RowsToRound;
  readonly h: Float32Array;
  readonly d: Float32Array;
}

/** Moments of inputs and a drift of them that is a fifth as large. */
function problem(weights: RowsToRound, samples: number): Problem {
  const n = weights.columns;
  const h = secondMoment(n, samples, 3);
  const random = noise(n + samples);
  const mix = Float64Array.from({ length: n * n }, () => random() / Math.sqrt(n));
  const d = new Float32Array(n * n);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < n; k++)
      for (let j = 0; j < n; j++) d[i * n + j]! += 0.2 * mix[i * n + k]! * h[k * n + j]!;
  return { weights, h, d };
}

const PROBLEMS: readonly (readonly [string, Problem])[] = [
  ['whole rows', problem(weightsOf(9, 23, 4, 1, 0), 70)],
  ['groups with zero points', problem(weightsOf(6, 24, 4, 6, -3), 60)],
  ['3 bits, 65 columns', problem(weightsOf(67, 65, 3, 5, 0), 300)],
  ['one column', problem(weightsOf(3, 1, 4, 1, 0), 4)],
];

interface Bench {
  readonly cache: ProgramCache;
  readonly own: RoundingKernels;
}

async function withKernels(kernels: (typeof KERNELS)[number], use: (bench: Bench) => Promise<void>) {
  const runtime = await createRuntime({ kernels, threads: 2 });
  const cache = new ProgramCache(runtime);
  await use({ cache, own: new RoundingKernels(cache) });
  await cache.release();
  runtime.close();
}

async function factorOf(cache: ProgramCache, h: Float32Array, order: Int32Array | null) {
  const n = Math.sqrt(h.length);
  const inOrder = h.slice();
  if (order) reorder(inOrder, order);
  const into = float32([n, n], new Float32Array(n * n));
  return { t: await reverseFactor(cache, float32([n, n], inOrder), DAMPING, into), order };
}

function driftOf(cache: ProgramCache, d: Float32Array): Drift {
  const drift = new Drift(cache, Math.sqrt(d.length));
  drift.sum.data.set(d);
  return drift;
}

/** Rows of the textbook that are far enough from every tie have one result only: nearly all. */
function assertSame(found: Int8Array, { codes, margins }: Rounded): void {
  const n = codes.length / margins.length;
  const clear = [...margins.keys()].filter((row) => margins[row]! > MARGIN);
  assert.ok(clear.length >= 0.75 * margins.length, `${clear.length} of ${margins.length} rows say something`);
  for (const row of clear) {
    const part = [row * n, (row + 1) * n] as const;
    assert.deepEqual(found.subarray(...part), codes.subarray(...part), `row ${row}`);
  }
}

const orders = ({ h, weights }: Problem) => [null, orderByMoment(h, weights.columns)] as const;

for (const kernels of KERNELS)
  for (const [name, task] of PROBLEMS) {
    const { weights, h, d } = task;
    const n = weights.columns;

    test(`FOEM: its loop's codes, in both orders: ${name} (${kernels} kernels)`, () =>
      withKernels(kernels, async ({ cache, own }) => {
        for (const order of orders(task)) {
          const { t } = await factorOf(cache, h, order);
          for (const beta of [0.1, 0.5]) {
            const codes = await own.round({ ...weights, order, beta }, t);
            assertSame(codes, asymmetric(weights, damped(h, n), { beta, ...(order && { order }) }));
            if (n > 1) assert.notDeepEqual(codes, await own.round({ ...weights, order }, t));
          }
          const none = await own.round({ ...weights, order, beta: 0 }, t);
          assert.deepEqual(none, textbook(weights, damped(h, n), { ...(order && { order }) }));
        }
      }));

    test(`GPTAQ: its loop's codes, in both orders, alone and with FOEM: ${name} (${kernels} kernels)`, () =>
      withKernels(kernels, async ({ cache, own }) => {
        for (const order of orders(task))
          for (const [alpha, beta] of [
            [0.25, 0],
            [1, 0],
            [0.25, 0.1],
          ] as const) {
            const factor = await factorOf(cache, h, order);
            const drift = await asymmetricFeedback(cache, driftOf(cache, d), factor, alpha);
            const codes = await own.round({ ...weights, order, drift, beta }, factor.t);
            const options = { drift: d, alpha, beta, ...(order && { order }) };
            assertSame(codes, asymmetric(weights, damped(h, n), options));
            if (n > 1) assert.notDeepEqual(codes, await own.round({ ...weights, order, beta }, factor.t));
          }
      }));

    test(`Qronos: its paper's codes, the first column as well: ${name} (${kernels} kernels)`, () =>
      withKernels(kernels, async ({ cache, own }) => {
        if (n === 1) return;
        const lambda = damped(h, n)[0]! - h[0]!;
        for (const order of orders(task)) {
          const factor = await factorOf(cache, h, order);
          const alpha = 0;
          const codesOf = async (target: 'outputs' | 'qronos') => {
            const drift = driftOf(cache, d);
            const correction = await correctionOf(cache, { target, drift, h, factor, alpha });
            const w = float32([weights.rows, n], weights.w);
            const start = correction.start(w, await correction.target(w));
            return own.round({ ...weights, order, w: start.data }, factor.t);
          };
          const codes = await codesOf('qronos');
          assertSame(codes, qronos(weights, { h, d, lambda, order: order ?? ownOrder(n) }));
          assert.notDeepEqual(codes, await codesOf('outputs'));
        }
      }));

    test(`sweeps: the best point for each weight in turn, for outputs too: ${name} (${kernels} kernels)`, () =>
      withKernels(kernels, async ({ cache, own }) => {
        const a = damped(h, n);
        const factor = await factorOf(cache, h, null);
        const weights = firstRows(task.weights);
        for (const target of ['weights', 'outputs', 'gptaq'] as const) {
          const zeros = new Float32Array(n * n);
          const [asked, alpha] = target === 'gptaq' ? [target, 0.25] : ['outputs' as const, 1];
          const drifted = target === 'weights' ? zeros : d.map((value) => alpha * value);
          const w = float32([weights.rows, n], weights.w);
          const drift = driftOf(cache, target === 'weights' ? zeros : d);
          const correction = await correctionOf(cache, {
            ...{ target: asked, drift, h, factor, alpha, sweeps: true },
          });
          const start = await correction.target(w);
          const aim = { ...weights, w: (await correction.swept(w, start)).data };
          const fed = { drift: correction.feedback };
          let codes = await own.round({ ...weights, ...fed, w: start.data }, factor.t);
          const begun = codes;
          let loss = lossesOf(weights, codes, a, drifted);
          for (let sweep = 1; sweep < 4; sweep++) {
            const best = bestInTurn(weights, codes, a, drifted);
            codes = await own.sweep({ ...aim, codes, h, damping: DAMPING, sweeps: 1 });
            assertSame(codes, best);
            const next = lossesOf(weights, codes, a, drifted);
            const more = lossAtTies(weights, a);
            // A choice that float32 gets wrong is within MARGIN steps of a tie, where the loss is nearly the same.
            next.forEach((value, row) => {
              assert.ok(value <= loss[row]! + more[row]!, `row ${row}, sweep ${sweep}: ${value}`);
            });
            assert.ok(sum(next) <= sum(loss));
            loss = next;
            const atOnce = await own.sweep({ ...aim, codes: begun, h, damping: DAMPING, sweeps: sweep });
            assert.deepEqual(atOnce, codes, 'sweeps at once are sweeps one by one');
          }
          if (n > 1) assert.notDeepEqual(codes, begun);
        }
      }));
  }

/** Trying every code takes long: a few rows say it. */
function firstRows(task: RowsToRound): RowsToRound {
  const rows = Math.min(task.rows, 6);
  const first = (of: Float32Array) => of.subarray(0, (of.length / task.rows) * rows);
  return { ...task, rows, w: first(task.w), scale: first(task.scale), zero: first(task.zero) };
}

function valuesOf({ rows, columns, scale, zero }: RowsToRound, codes: Int8Array, row: number): Float64Array {
  const groups = scale.length / rows;
  return Float64Array.from({ length: columns }, (_, j) => {
    const group = row * groups + Math.floor((j * groups) / columns);
    return scale[group]! * (codes[row * columns + j]! - zero[group]!);
  });
}

const rowOf = ({ w, columns }: RowsToRound, row: number) => w.subarray(row * columns, (row + 1) * columns);

function lossesOf(task: RowsToRound, codes: Int8Array, a: Float64Array, d: Float32Array): number[] {
  return Array.from({ length: task.rows }, (_, row) =>
    outputLoss(rowOf(task, row), valuesOf(task, codes, row), a, d),
  );
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** By how much choices within MARGIN of a tie may raise the loss of a row: 2 A_jj s² times it for each. */
function lossAtTies({ rows, columns, scale }: RowsToRound, a: Float64Array): number[] {
  const groups = scale.length / rows;
  return Array.from({ length: rows }, (_, row) => {
    let total = 0;
    for (let j = 0; j < columns; j++)
      total +=
        2 * MARGIN * a[j * columns + j]! * scale[row * groups + Math.floor((j * groups) / columns)]! ** 2;
    return total;
  });
}

/** One sweep that tries every code of every weight, by the loss itself. */
function bestInTurn(task: RowsToRound, begun: Int8Array, a: Float64Array, d: Float32Array): Rounded {
  const { rows, columns: n, bits, scale, zero } = task;
  const codes = begun.slice();
  const margins = new Float64Array(rows).fill(Infinity);
  for (let row = 0; row < rows; row++) {
    const q = valuesOf(task, codes, row);
    const w = rowOf(task, row);
    for (let j = 0; j < n; j++) {
      const group = row * (scale.length / rows) + Math.floor((j * (scale.length / rows)) / n);
      const tried = Array.from({ length: 2 ** bits }, (_, code) => {
        const value = scale[group]! * (code - 2 ** (bits - 1) - zero[group]!);
        const loss = outputLoss(w, q.with(j, value), a, d);
        return { code: code - 2 ** (bits - 1), value, loss };
      }).sort((one, other) => one.loss - other.loss);
      const [best, second] = tried;
      q[j] = best!.value;
      codes[row * n + j] = best!.code;
      // Of neighbours on a parabola of curvature A_jj, the second is 2 A_jj s² times the distance to the tie worse.
      const distance = (second!.loss - best!.loss) / (2 * a[j * n + j]! * scale[group]! ** 2);
      margins[row] = Math.min(margins[row]!, distance);
    }
  }
  return { codes, margins };
}
