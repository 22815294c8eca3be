/** The nearest rotation, and DFRot's alternation, against double precision. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CapturedRows } from '../../src/engine/calibration/reservoir.ts';
import type { ActivationQuantizer } from '../../src/engine/graph/fused/fake-quantize.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { orthogonalityError, polarProjection } from '../../src/engine/rotation/orthogonal.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { LearnStep } from '../../src/engine/transform/learning/learner.ts';
import { polarFactor } from '../../src/engine/transform/learning/polar-factor.ts';
import { learnByProcrustes } from '../../src/engine/transform/learning/procrustes-learner.ts';
import { UserError } from '../../src/protocol/errors.ts';
import { KERNELS } from '../helpers/runtimes.ts';

/** a [m, k] × b [k, n]. */
function product(a: ArrayLike<number>, b: ArrayLike<number>, [m, k, n]: readonly [number, number, number]) {
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++)
      for (let p = 0; p < k; p++) out[i * n + j] = out[i * n + j]! + a[i * k + p]! * b[p * n + j]!;
  return out;
}

function transposed(a: ArrayLike<number>, rows: number, columns: number): Float64Array {
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = a[i * columns + j]!;
  return out;
}

const largest = (values: Float64Array): number => values.reduce((max, v) => Math.max(max, Math.abs(v)), 0);

test('the factor of U·V·Σ·Vᵀ is U, with singular values from 1 to 1e-6', async () => {
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  const cache = new ProgramCache(runtime);
  for (const n of [1, 2, 5, 12, 33]) {
    const rng = new Rng(n);
    const [u, v] = [haarRotation(n, rng), haarRotation(n, rng)];
    const spread = Float64Array.from(v, (value, i) => value * 10 ** (n === 1 ? 0 : (-6 * (i % n)) / (n - 1)));
    const p = product(spread, transposed(v, n, n), [n, n, n]);
    const found = await polarFactor(cache, product(u, p, [n, n, n]), n);
    assert.ok(orthogonalityError(found, n) < 1e-12);
    const gap = largest(found.map((value, i) => value - u[i]!));
    // Rounding of some fifty products of length n raises with the smallest singular value.
    assert.ok(gap < 50 * n * 2 ** -53 * 1e6, `order ${n}: ${gap}`);
  }
  await cache.release();
  runtime.close();
});

test('a singular matrix, or one that is not finite, has no nearest rotation', async () => {
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  const cache = new ProgramCache(runtime);
  for (const matrix of [
    new Float64Array(4),
    Float64Array.of(1, 2, 2, 4),
    Float64Array.of(1, 2, Number.NaN, 1),
  ])
    await assert.rejects(
      polarFactor(cache, matrix, 2),
      (error) => error instanceof UserError && error.code === 'rotation/singular',
    );
  await cache.release();
  runtime.close();
});

const QUANTIZER: ActivationQuantizer = {
  bits: 3,
  symmetric: false,
  group: 0,
  clipRatio: 0.9,
  includeZero: false,
};

/** Rows on a grid of 2^b codes between both ends, by loops. */
function rounded(rows: Float64Array, n: number, group: number): Float64Array {
  const { bits, clipRatio } = QUANTIZER;
  return rows.map((value, i) => {
    const first = i - (i % n) + Math.floor((i % n) / group) * group;
    const part = rows.subarray(first, first + group);
    const [lo, hi] = [Math.min(...part) * clipRatio, Math.max(...part) * clipRatio];
    const step = (hi - lo) / (2 ** bits - 1);
    const zero = Math.round(-lo / step);
    const code = Math.min(Math.max(Math.round(value / step) + zero, 0), 2 ** bits - 1);
    return step * (code - zero);
  });
}

function capturedRows(width: number, count: number, rng: Rng): CapturedRows {
  return { width, count, rows: Float32Array.from({ length: width * count }, () => rng.normal()) };
}

for (const kernels of KERNELS) {
  for (const group of [0, 4]) {
    test(`a step is that of double precision (${kernels} kernels, groups of ${group})`, async () => {
      const runtime = await createRuntime({ kernels, threads: 1 });
      const cache = new ProgramCache(runtime);
      const rng = new Rng(5);
      const [n, count] = [12, 400];
      const start = { residual: [Float32Array.from(haarRotation(n, rng))] };
      const captured = { residual: [capturedRows(n, count, rng)] };
      const quantizers = { residual: { ...QUANTIZER, group } };
      const steps = learnByProcrustes(cache, start, captured, { steps: 1, seams: ['residual'], quantizers });
      const { loss, state } = (await steps.next()).value as LearnStep;

      const x = captured.residual[0]!.rows;
      const turned = product(x, start.residual[0]!, [count, n, n]);
      const q = rounded(turned, n, group || n);
      const expected = polarProjection(product(transposed(x, count, n), q, [n, count, n]), n);
      const errors = turned.map((value, i) => (value - q[i]!) ** 2);
      const error = errors.reduce((sum, one) => sum + one, 0) / errors.length;
      // Sums of 400 products of about 1 in float32 over singular values of about 400, in 12 directions; KEPT is less.
      const allowed = 12 * 400 * 2 ** -24;
      assert.ok(Math.abs(loss - error) < allowed * error, `${loss} for ${error}`);
      const found = Float64Array.from(state.residual![0]!);
      const gap = largest(found.map((value, i) => value - expected[i]!));
      assert.ok(gap < allowed, `${gap}`);
      const moved = largest(found.map((value, i) => value - start.residual[0]![i]!));
      assert.ok(moved > 10 * allowed, `${moved}`);
      await cache.release();
      runtime.close();
    });
  }
}

test('steps lower the error of rounding, and a channel that no row has turns with no other', async () => {
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  const cache = new ProgramCache(runtime);
  const rng = new Rng(7);
  const [n, count] = [8, 512];
  const captured = capturedRows(n, count, rng);
  const data = captured.rows;
  for (let i = 0; i < data.length; i++) data[i] = i % n === 3 ? 0 : data[i]! * (i % n === 0 ? 8 : 1);
  const start = { residual: [Float32Array.from(haarRotation(n, rng))], value: [] };
  const options = { steps: 40, seams: ['residual'], quantizers: { residual: QUANTIZER } } as const;
  const losses: number[] = [];
  for await (const step of learnByProcrustes(cache, start, { residual: [captured] }, options)) {
    losses.push(step.loss);
    // Rounding of the rotation to float32.
    assert.ok(step.orthogonalityError < n * 2 ** -23, `${step.orthogonalityError}`);
  }
  assert.equal(losses.length, 40);
  assert.ok(losses.at(-1)! < 0.9 * losses[0]!, `${losses[0]} → ${losses.at(-1)}`);
  await cache.release();
  runtime.close();
});
