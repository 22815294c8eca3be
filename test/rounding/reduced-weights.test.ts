/** MagR against proximal gradient steps in double precision, with the projection by sorting. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { clipToMass } from '../../src/engine/rounding/gptq/clip-to-mass.ts';
import { largestEigenvalue } from '../../src/engine/rounding/gptq/largest-eigenvalue.ts';
import { ReducedWeights } from '../../src/engine/rounding/gptq/reduced-weights.ts';
import { Breath } from '../../src/engine/runtime/breath.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise } from '../helpers/tiny-network.ts';
import { secondMoment } from './textbook.ts';
import { ontoBall, times } from './textbook-additions.ts';

/** Half a unit in the last place of 1 in float32. */
const ROUNDING = 2 ** -24;

const norm = (a: Float64Array): number => Math.hypot(...a);

test('what is clipped is what is left of a projection, also where all of it goes', async () => {
  const random = noise(4);
  for (const [run, mass] of [
    [1, 0.3],
    [7, 0.5],
    [7, 100],
    [64, 1e-3],
    [200, 3],
  ] as const) {
    const v = Float32Array.from({ length: 3 * run }, random);
    v.fill(0.25, 0, Math.min(3, run));
    v.fill(0, 2 * run);
    const clipped = v.slice();
    await clipToMass(clipped, run, mass, new Breath());
    for (let start = 0; start < v.length; start += run) {
      const part = Float64Array.from(v.subarray(start, start + run));
      const ball = ontoBall(part, mass);
      // The bound is rounded once, and each value to it.
      part.forEach((value, i) => {
        const off = Math.abs(clipped[start + i]! - (value - ball[i]!));
        assert.ok(off <= 2 * ROUNDING * Math.abs(value), `${run}, ${mass}: ${off} at ${i}`);
      });
    }
  }
});

/** Eigenvalue by many more iterations than are taken. */
function converged(h: Float32Array, n: number): number {
  let x = Float64Array.from({ length: n }, (_, i) => 1 + i / n);
  for (let step = 0; step < 3000; step++) {
    const next = times(h, x, [n, n, 1]);
    const length = norm(next);
    x = next.map((value) => value / length);
  }
  const image = times(h, x, [n, n, 1]);
  return x.reduce((sum, value, i) => sum + value * image[i]!, 0);
}

/** A row after so many steps. */
function textbook(
  w: Float64Array,
  h: Float32Array,
  task: { rate: number; mass: number; steps: number; group: number },
) {
  const n = w.length;
  let v = w.slice();
  for (let step = 0; step < task.steps; step++) {
    const slope = times(
      v.map((value, i) => value - w[i]!),
      h,
      [1, n, n],
    );
    v = v.map((value, i) => value - task.rate * slope[i]!);
    for (let start = 0; start < n; start += task.group) {
      const part = v.slice(start, start + task.group);
      const ball = ontoBall(part, task.mass);
      v.set(
        part.map((value, i) => value - ball[i]!),
        start,
      );
    }
  }
  return v;
}

const SHAPES = [
  [5, 23, 0, 0.01],
  [3, 24, 6, 0.003],
  [7, 65, 13, 0.02],
  [2, 1, 0, 0.01],
] as const;

for (const kernels of KERNELS)
  test(`steps are those of the loop, and the range falls (${kernels} kernels)`, async () => {
    const runtime = await createRuntime({ kernels, threads: 2 });
    const cache = new ProgramCache(runtime);
    for (const [rows, n, group, magr] of SHAPES) {
      const h = secondMoment(n, 4 * n, 7);
      const random = noise(rows + n);
      const w = Float32Array.from({ length: rows * n }, random);
      const steps = 40;
      const reduced = new ReducedWeights(cache, float32([n, n], h), { magr, magrSteps: steps });
      const found = (await reduced.weights(float32([rows, n], w), group)).data;
      const sigma = converged(h, n);
      const short = 1 - largestEigenvalue(h, n) / sigma;
      assert.ok(short >= -1e-12 && short < 1e-6, `30 iterations fall short by ${short}`);
      const columnSums = Array.from({ length: n }, (_, j) =>
        h.subarray(j * n, (j + 1) * n).reduce((sum, value) => sum + Math.abs(value), 0),
      );
      const mass = (magr * sigma) / Math.max(...columnSums);
      for (let row = 0; row < rows; row++) {
        const own = Float64Array.from(w.subarray(row * n, (row + 1) * n));
        const wanted = textbook(own, h, { rate: 1 / sigma, mass, steps, group: group || n });
        const off = norm(wanted.map((value, i) => value - found[row * n + i]!));
        // No step enlarges what those before are off by. Each adds roundings of a product of n terms, of at most η ‖H‖ = 1
        // times how far weights have gone, of what it is taken from and of the clip; and what η and the mass are off by.
        const gone = norm(wanted.map((value, i) => value - own[i]!));
        const frobenius = norm(Float64Array.from(h)) / sigma;
        const each =
          ROUNDING * ((n + 4) * frobenius * gone + 4 * norm(own)) + short * (gone + mass * Math.sqrt(n));
        assert.ok(off <= steps * each, `[${rows}, ${n}] row ${row}: ${off}, not ${steps * each}`);
        assert.ok(steps * each < 0.05 * gone, 'the bound says something');
        const largest = (v: Float64Array) => Math.max(...v.map(Math.abs));
        assert.ok(largest(wanted) < 0.99 * largest(own));
      }
    }
    await cache.release();
    runtime.close();
  });

test('where nothing was seen, weights stay', async () => {
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  const cache = new ProgramCache(runtime);
  const w = float32([2, 3], Float32Array.of(1, -2, 3, -4, 5, -6));
  const reduced = new ReducedWeights(cache, float32([3, 3], new Float32Array(9)), {
    magr: 0.1,
    magrSteps: 5,
  });
  assert.deepEqual((await reduced.weights(w, 0)).data, w.data);
  await cache.release();
  runtime.close();
});
