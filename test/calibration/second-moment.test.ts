import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SecondMoment } from '../../src/engine/calibration/second-moment.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise } from '../helpers/tiny-network.ts';

/** Half a unit in the last place of 1 in float32. */
const ROUNDING = 2 ** -24;
/** Where bfloat16 is multiplied, each factor is off by at most 2⁻⁸ of itself, and a product so much. */
const OF_ROUNDED = 2 ** -7 + 2 ** -16;

/** Fails unless every element is the sum of loops in double precision, up to this share of the sum of sizes. */
function check(found: Float32Array, n: number, parts: readonly Float32Array[], share: number): void {
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      let [wanted, size] = [0, 0];
      for (const part of parts)
        for (let t = 0; t < part.length; t += n) {
          const term = part[t + i]! * part[t + j]!;
          wanted += term;
          size += Math.abs(term);
        }
      const off = Math.abs(found[i * n + j]! - wanted);
      assert.ok(off <= share * size, `[${i}, ${j}] of ${n} is off by ${off}`);
    }
}

for (const kernels of KERNELS)
  test(`parts of a text add up to its second moments, in both halves (${kernels} kernels)`, async () => {
    const runtime = await createRuntime({ kernels, threads: 2 });
    const cache = new ProgramCache(runtime);
    for (const [n, sizes] of [
      [1, [3]],
      [37, [200, 5]],
      [195, [64, 130, 64]],
    ] as const) {
      const draw = noise(n);
      const parts = sizes.map((tokens) => Float32Array.from({ length: tokens * n }, () => draw()));
      const moment = new SecondMoment(cache, n);
      for (const [index, part] of parts.entries()) {
        moment.spare.data.fill(Number.NaN);
        await moment.add(float32([sizes[index]!, n], part));
      }
      // No order of sums has more roundings of a product than there are tokens, and one for itself; twice as many
      // where the product of each token is added by itself.
      const roundings = sizes.reduce((sum, size) => sum + size, 1);
      const isRounded = runtime.multipliesRounded || runtime.multipliesBfloat16;
      const share = 1.01 * roundings * ROUNDING * (isRounded ? 2 : 1) + (isRounded ? OF_ROUNDED : 0);
      check(moment.sum.data, n, parts, share);
    }
    await cache.release();
    runtime.close();
  });
