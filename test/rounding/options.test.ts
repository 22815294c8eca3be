/** GPTQ's options against the textbook in double precision: act-order, fresh scales of groups, damping that is raised. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { factorInLoops } from '../../src/engine/rounding/factor-in-loops.ts';
import { inverseOrder, orderByMoment, reorder } from '../../src/engine/rounding/gptq/column-order.ts';
import { dampedFactor, isSound } from '../../src/engine/rounding/gptq/damped-factor.ts';
import { RoundingKernels } from '../../src/engine/rounding/gptq/rounding-kernels.ts';
import { roundGroups } from '../../src/engine/rounding/gptq/updated-groups.ts';
import { reverseFactor } from '../../src/engine/rounding/reverse-cholesky.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise } from '../helpers/tiny-network.ts';
import { DAMPING, damped, type RowGrid, secondMoment, textbook, weightsOf } from './textbook.ts';

async function withKernels(
  kernels: (typeof KERNELS)[number],
  use: (cache: ProgramCache, own: RoundingKernels) => Promise<void>,
): Promise<void> {
  const runtime = await createRuntime({ kernels, threads: 2 });
  const cache = new ProgramCache(runtime);
  await use(cache, new RoundingKernels(cache));
  await cache.release();
  runtime.close();
}

/** T of H in an order. */
async function factorOf(cache: ProgramCache, h: Float32Array, order: Int32Array): Promise<Float32Array> {
  const n = order.length;
  const ordered = h.slice();
  reorder(ordered, order);
  return reverseFactor(cache, float32([n, n], ordered), DAMPING, float32([n, n], new Float32Array(n * n)));
}

test('columns are ordered by falling moments, and back', () => {
  const n = 5;
  const h = Float32Array.from({ length: n * n }, (_, i) => i);
  [3, 9, 3, 0, 7].forEach((value, i) => {
    h[i * n + i] = value;
  });
  const order = orderByMoment(h, n);
  assert.deepEqual([...order], [1, 4, 0, 2, 3]);
  const moved = h.slice();
  reorder(moved, order);
  for (let a = 0; a < n; a++)
    for (let b = 0; b < n; b++) assert.equal(moved[a * n + b], h[order[a]! * n + order[b]!]);
  reorder(moved, inverseOrder(order));
  assert.deepEqual(moved, h);
});

const ORDERED = [
  ['whole rows', weightsOf(9, 24, 4, 1, 0), 60],
  ['groups', weightsOf(70, 24, 4, 3, 0), 60],
  ['groups with zero points', weightsOf(6, 24, 4, 6, -3), 60],
  ['fewer samples than inputs', weightsOf(7, 64, 3, 4, 0), 9],
] as const;

for (const kernels of KERNELS) {
  for (const [name, weights, samples] of ORDERED) {
    test(`act-order: the textbook's codes, not permuted: ${name} (${kernels} kernels)`, () =>
      withKernels(kernels, async (cache, own) => {
        const n = weights.columns;
        const h = secondMoment(n, samples, 3);
        const order = orderByMoment(h, n);
        assert.ok(order.some((column, place) => column !== place));
        const codes = await own.round({ ...weights, order }, await factorOf(cache, h, order));
        assert.deepEqual(codes, textbook(weights, damped(h, n), { order }));
        const plain = await own.round(weights, await factorOf(cache, h, Int32Array.from(order.keys())));
        assert.notDeepEqual(codes, plain);
        const itself = { ...weights, order: Int32Array.from(order.keys()) };
        assert.deepEqual(await own.round(itself, await factorOf(cache, h, itself.order)), plain);
      }));
  }

  for (const symmetric of [true, false]) {
    const what = symmetric ? 'symmetric' : 'with zero points';
    test(`updated scales: the textbook's codes and grids, ${what} (${kernels} kernels)`, () =>
      withKernels(kernels, async (cache, own) => {
        const [rows, n, group, bits] = [9, 48, 8, 4];
        const weights = weightsOf(rows, n, bits, n / group, 0);
        const h = secondMoment(n, 90, 3);
        const t = await factorOf(
          cache,
          h,
          Int32Array.from({ length: n }, (_, j) => j),
        );
        const quantizer = { bits, symmetric, group, clipSearch: false };
        const w = float32([rows, n], weights.w);
        const { codes, scale } = await roundGroups(cache, own, { w, t, quantizer });
        const used: RowGrid[] = [];
        const gridOf = (own: Float64Array): RowGrid => {
          const grid = gridOfGroup(own, bits, symmetric);
          used.push(grid);
          return grid;
        };
        assert.deepEqual(codes, textbook(weights, damped(h, n), { gridOf }));
        // Groups are reached one after the other, for all rows each. Float32 sums of 40 terms are off by 40 · 2⁻²⁴.
        used.forEach((grid, index) => {
          const found = scale[(index % rows) * (n / group) + Math.floor(index / rows)]!;
          assert.ok(Math.abs(found - grid.scale) <= 64 * 2 ** -24 * grid.scale, `${found}, ${grid.scale}`);
        });
        const stale = gridOfGroup(Float64Array.from(weights.w.subarray(group, 2 * group)), bits, symmetric);
        assert.ok(Math.abs(scale[1]! - stale.scale) > 1e-3 * stale.scale, 'the second group has moved');
      }));
  }
}

/** The grid of METHODS' ranges, for codes from −2^{b−1} on: absmax / (2^{b−1} − 1), or (max − min) / (2^b − 1). */
function gridOfGroup(weights: Float64Array, bits: number, symmetric: boolean): RowGrid {
  if (symmetric) return { scale: Math.max(...weights.map(Math.abs)) / (2 ** (bits - 1) - 1), zero: 0 };
  const [low, high] = [Math.min(...weights), Math.max(...weights)];
  const scale = (high - low) / (2 ** bits - 1);
  return { scale, zero: Math.round(-low / scale) - 2 ** (bits - 1) };
}

test("constant inputs and groups of one weight: the textbook's codes", async () => {
  const [rows, n] = [5, 16];
  const weights = weightsOf(rows, n, 4, 2, 0);
  const h = secondMoment(n, 40, 5);
  // Inputs 3 and 9 are the constants 2 and −1, uncorrelated with the others: a block of rank one.
  for (const a of [3, 9]) for (let i = 0; i < n; i++) h[a * n + i] = h[i * n + a] = 0;
  const constants = new Map([
    [3, 2],
    [9, -1],
  ]);
  for (const [a, x] of constants) for (const [b, y] of constants) h[a * n + b] = 40 * x * y;
  const t = new Float32Array(n * n);
  await factorInLoops(h, n, DAMPING, t);
  assert.ok(isSound(h, t, n, DAMPING));
  await withKernels('composed', async (cache, own) => {
    assert.deepEqual(await own.round(weights, t), textbook(weights, damped(h, n)));
    const same = weights.w.map((w, i) => (i % n < 8 ? w : 0.25));
    const quantizer = { bits: 4, symmetric: true, group: 8, clipSearch: false };
    const result = await roundGroups(cache, own, { w: float32([rows, n], same), t, quantizer });
    assert.ok([...result.scale].every((s) => s > 0 && Number.isFinite(s)));
    const gridOf = (own: Float64Array) => gridOfGroup(own, 4, true);
    assert.deepEqual(result.codes, textbook({ ...weights, w: same }, damped(h, n), { gridOf }));
  });
});

for (const kernels of KERNELS) {
  test(`damping is raised where moments are not positive definite, a bounded number of times (${kernels} kernels)`, () =>
    withKernels(kernels, async (cache) => {
      const n = 6;
      const factor = (h: Float32Array) =>
        dampedFactor(cache, float32([n, n], h), DAMPING, float32([n, n], new Float32Array(n * n)));
      const good = await factor(secondMoment(n, 40, 1));
      assert.deepEqual([good.dampings, good.sound], [[DAMPING], true]);
      // Inputs that were never seen are no failure.
      const dead = secondMoment(n, 40, 1);
      for (let i = 0; i < n; i++) dead[2 * n + i] = dead[i * n + 2] = 0;
      assert.deepEqual((await factor(dead)).dampings, [DAMPING]);
      assert.deepEqual((await factor(new Float32Array(n * n))).dampings, [DAMPING]);
      // diag 1, and 1 + ε beside it: the least eigenvalue is −ε, so that λ > ε is needed.
      const indefinite = (excess: number) => {
        const h = Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
        h[1] = h[n] = 1 + excess;
        return h;
      };
      const raised = await factor(indefinite(0.5));
      assert.deepEqual([raised.dampings, raised.sound], [[0.01, 0.1, 1], true]);
      const never = await factor(indefinite(50));
      assert.deepEqual([never.dampings, never.sound], [[0.01, 0.1, 1, 10], false]);
      assert.ok(never.t.every(Number.isFinite));
    }));
}

interface Peer {
  readonly rows: number;
  readonly columns: number;
  readonly moments: readonly number[];
  readonly cases: Record<string, { codes: number[]; scales: number[]; margin: number }>;
}

const FIXTURE = join(import.meta.dirname, '..', 'fixtures', 'gptq-options.json');
const peer = JSON.parse(readFileSync(FIXTURE, 'utf8')) as Peer;
/** Options of the fixture's cases, as bench/peers/quarot_torch.py has them. */
const PEER_CASES = {
  rows: {},
  'act-order': { actOrder: true },
  'groups, act-order': { group: 8, actOrder: true },
  'groups, updated': { group: 8, updated: true },
  '3 bits, groups, act-order': { bits: 3, group: 8, actOrder: true },
} as const satisfies Record<string, { bits?: number; group?: number; actOrder?: true; updated?: true }>;

for (const kernels of KERNELS)
  for (const [name, options] of Object.entries(PEER_CASES))
    test(`codes and scales of an independent program in PyTorch: ${name} (${kernels} kernels)`, () =>
      withKernels(kernels, async (cache, own) => {
        const { rows, columns } = peer;
        const { bits, group, actOrder, updated } = {
          bits: 4,
          group: columns,
          actOrder: false,
          updated: false,
          ...options,
        };
        const expected = peer.cases[name]!;
        // In float32, quotients of a few units are off by far less.
        assert.ok(expected.margin > 5e-4);
        const random = noise(5);
        const w = Float32Array.from({ length: rows * columns }, random);
        const h = Float32Array.from(peer.moments);
        const plain = Int32Array.from({ length: columns }, (_, j) => j);
        const order = actOrder ? orderByMoment(h, columns) : plain;
        const t = await factorOf(cache, h, order);
        const quantizer = { bits, symmetric: true, group, clipSearch: false };
        const fixed = Float32Array.from(expected.scales);
        const zero = new Float32Array(fixed.length);
        const found = updated
          ? await roundGroups(cache, own, { w: float32([rows, columns], w), t, quantizer })
          : {
              codes: await own.round({ w, rows, columns, bits, scale: fixed, zero, order }, t),
              scale: fixed,
            };
        assert.deepEqual([...found.codes], expected.codes);
        found.scale.forEach((s, i) => {
          assert.ok(Math.abs(s - expected.scales[i]!) <= 64 * 2 ** -24 * s, `scale ${i}`);
        });
      }));
