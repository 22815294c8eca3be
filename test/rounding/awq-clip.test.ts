/** The clip search of AWQ in loops, and which tokens it looks at. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WeightQuantizer } from '../../src/engine/graph/fused/weight-quantize.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { BOUNDS } from '../../src/engine/rounding/awq-clip/programs.ts';
import { pickTokens } from '../../src/engine/rounding/awq-clip/sampled-text.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise } from '../helpers/tiny-network.ts';

const [ROWS, COLUMNS, TOKENS] = [6, 24, 10];

/** Q(w) of one row or group. A whole row's range includes 0. */
function roundInLoops(w: Float64Array, { bits, symmetric, group }: WeightQuantizer): Float64Array {
  let [low, high] = [Math.min(...w), Math.max(...w)];
  if (group === 0) [low, high] = [Math.min(low, 0), Math.max(high, 0)];
  if (symmetric) {
    const top = 2 ** (bits - 1) - 1;
    const s = Math.max(-low, high) / top;
    return w.map((x) => s * Math.min(Math.max(roundHalfEven(x / s), -top - 1), top));
  }
  const top = 2 ** bits - 1;
  const s = (high - low) / top;
  const z = roundHalfEven(-low / s);
  return w.map((x) => s * (Math.min(Math.max(roundHalfEven(x / s) + z, 0), top) - z));
}

function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/** Σ_t (Σ_j x_tj (Q(clip(w, p·max))_j − w_j))² of the ten trials. */
function errorsInLoops(w: Float64Array, x: readonly Float64Array[], quantizer: WeightQuantizer): number[] {
  const largest = w.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
  return Array.from({ length: 10 }, (_, trial) => {
    const bound = (1 - trial / 20) * largest;
    const rounded = roundInLoops(
      w.map((one) => Math.min(Math.max(one, -bound), bound)),
      quantizer,
    );
    return x.reduce((sum, row) => {
      let share = 0;
      for (let j = 0; j < w.length; j++) share += row[j]! * (rounded[j]! - w[j]!);
      return sum + share * share;
    }, 0);
  });
}

const SETTINGS: readonly WeightQuantizer[] = [
  { bits: 3, symmetric: true, group: 0, clipSearch: false },
  { bits: 4, symmetric: true, group: 8, clipSearch: true },
  { bits: 3, symmetric: false, group: 0, clipSearch: false },
  { bits: 2, symmetric: false, group: 12, clipSearch: false },
];

for (const kernels of KERNELS)
  test(`bounds are those that loops find (${kernels} kernels)`, async () => {
    const random = noise(11);
    const numbers = (count: number) => Float32Array.from({ length: count }, () => random() ** 3);
    const [w, x] = [numbers(ROWS * COLUMNS), numbers(TOKENS * COLUMNS)];
    const runtime = await createRuntime({ kernels, threads: 1 });
    const cache = new ProgramCache(runtime);
    for (const quantizer of SETTINGS) {
      const width = quantizer.group || COLUMNS;
      const groups = COLUMNS / width;
      const program = await cache.get(BOUNDS, { rows: ROWS, columns: COLUMNS, tokens: TOKENS, quantizer });
      const { bound } = await program.run({
        w: float32([ROWS, COLUMNS], w),
        x: float32([TOKENS, COLUMNS], x),
      });
      const trials = Array.from(bound.data, (found, index) => {
        const from = (index % groups) * width;
        const own = Float64Array.from(w.subarray(index * width, (index + 1) * width));
        const rows = Array.from({ length: TOKENS }, (_, token) =>
          Float64Array.from(x.subarray(token * COLUMNS + from, token * COLUMNS + from + width)),
        );
        const errors = errorsInLoops(own, rows, quantizer);
        const largest = own.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
        const trial = Math.round((1 - found / largest) * 20);
        // Sums of 24 terms in float32: what is chosen is as good as the best to 24 roundings, twice over.
        assert.ok(errors[trial]! <= Math.min(...errors) * (1 + 48 * 2 ** -23), `group ${index}`);
        return trial;
      });
      assert.ok(new Set(trials).size > 1, 'not all are the same');
    }
    await cache.release();
    runtime.close();
  });

test('tokens are taken at even distances over all parts, each once', () => {
  assert.deepEqual(pickTokens([4, 4, 2], 5), [[0, 2], [0, 2], [0]]);
  assert.deepEqual(pickTokens([3, 3], 512), [
    [0, 1, 2],
    [0, 1, 2],
  ]);
  assert.deepEqual(pickTokens([2, 2, 2, 2], 2), [[0], [], [0], []]);
  const picked = pickTokens([100, 77, 100], 64);
  assert.equal(picked.flat().length, 64);
});
