import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  applyHadamard,
  type HadamardPlan,
  planHadamard,
  planPowerOfTwo,
  signedHadamard,
} from '../../src/engine/rotation/hadamard-plan.ts';
import { hadamardMatrix } from '../helpers/hadamard-matrix.ts';

const FULL_WIDTHS: Readonly<Record<number, number>> = {
  1: 1,
  2: 1,
  4: 1,
  64: 1,
  172: 172,
  192: 12,
  288: 36,
  512: 1,
  576: 36,
  768: 12,
  896: 28,
  960: 60,
  1376: 172,
  1536: 12,
  3584: 28,
  4096: 1,
  4864: 76,
  5120: 20,
  5632: 44,
  8192: 1,
  8960: 140,
  9728: 76,
  11008: 172,
  12288: 12,
  13824: 108,
  14336: 28,
  17408: 68,
  17920: 140,
  18944: 148,
  25600: 100,
  27648: 108,
  28672: 28,
  29568: 924,
};

/** Values with a spread of magnitudes, fixed. */
function sample(length: number): Float64Array {
  return Float64Array.from({ length }, (_, i) => Math.sin(1 + 0.7 * i) * (1 + (i % 17)));
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}

const norm = (x: ArrayLike<number>) => Math.sqrt(Array.from(x).reduce((sum, v) => sum + v * v, 0));

describe('signedHadamard', () => {
  it('has the bits of butterflies over signs, whole, in blocks and with every kind of matrix', () => {
    for (const width of [1, 2, 12, 40, 64, 172, 192, 576, 1000]) {
      const plan = planHadamard(width);
      const signs = Float64Array.from({ length: width }, (_, i) => (i % 3 === 1 ? -1 : 1));
      const added = new Float64Array(width ** 2);
      signs.forEach((sign, i) => {
        added[i * width + i] = sign;
      });
      applyHadamard(plan, added);
      const written = signedHadamard(plan, signs, new Float64Array(width ** 2));
      const rounded = signedHadamard(plan, signs, new Float32Array(width ** 2));
      assert.ok(
        written.every((value, i) => Object.is(value, added[i])),
        `width ${width}`,
      );
      assert.deepEqual(rounded, Float32Array.from(added), `width ${width} in float32`);
    }
  });
});

describe('planHadamard', () => {
  for (const [width, order] of Object.entries(FULL_WIDTHS)) {
    it(`width ${width} is mixed as a whole with K = ${order}`, () => {
      const n = Number(width);
      const plan = planHadamard(n);
      assert.deepEqual({ n: plan.n, order: plan.order, block: plan.block }, { n, order, block: n });
      assert.notEqual(plan.kind, 'block-diagonal');
      const row = sample(n);
      const before = row.slice();
      applyHadamard(plan, row);
      // Every output is a sum of n terms |x|/√n, done in at most K + log2 n roundings.
      const bound = Number.EPSILON * (order + Math.log2(n) + 2) * norm(before) * Math.sqrt(n);
      assert.ok(Math.abs(norm(row) - norm(before)) <= bound);
      applyHadamard(plan, row, true);
      assert.ok(largestDifference(row, before) <= bound, `${largestDifference(row, before)} > ${bound}`);
    });
  }

  for (const [n, block] of [
    [3, 1],
    [7, 1],
    [1009, 1],
    [6, 2],
    [10, 2],
    [150, 2],
    [3 * 668, 12],
  ] as const) {
    it(`width ${n} falls back to blocks of ${block} and says so`, () => {
      const plan = planHadamard(n);
      assert.equal(plan.kind, 'block-diagonal');
      assert.equal(plan.block, block);
      assert.match(
        plan.statement,
        block === 1 ? /no mixing/ : new RegExp(`${n / block} independent blocks of ${block}`),
      );
      const row = sample(n);
      const before = row.slice();
      applyHadamard(plan, row);
      applyHadamard(plan, row, true);
      assert.ok(largestDifference(row, before) <= 8 * Number.EPSILON * norm(before));
    });
  }

  it('refuses widths that are no positive integers', () => {
    for (const n of [0, -4, 2.5, Number.NaN]) assert.throws(() => planHadamard(n), RangeError);
  });
});

/** Output `at` of rows of 48 = 12·4, straight from the definition. */
function definition(plan: HadamardPlan, rows: Float64Array, at: number): number {
  const start = at - (at % 48);
  const i = Math.floor((at % 48) / 4);
  const j = at % 4;
  let sum = 0;
  for (let k = 0; k < 12; k++) {
    for (let l = 0; l < 4; l++) {
      const shared = j & l;
      const sylvester = shared === 1 || shared === 2 ? -1 : 1;
      sum += plan.matrix![i * 12 + k]! * rows[start + k * 4 + l]! * sylvester;
    }
  }
  return sum / Math.sqrt(48);
}

describe('applyHadamard', () => {
  it('is (H_K × (Z × H_2^m)) / √b, also for a matrix that is not symmetric', () => {
    const plan = planHadamard(48);
    const row = sample(96);
    const expected = Float64Array.from({ length: 96 }, (_, at) => definition(plan, row, at));
    applyHadamard(plan, row);
    assert.ok(largestDifference(row, expected) <= 64 * Number.EPSILON * norm(expected));
  });

  it('agrees with hadamardMatrix and rounds once to float32', () => {
    for (const n of [1, 6, 12, 36, 64, 92, 96, 1009 * 2, 172]) {
      const plan = planHadamard(n);
      const matrix = hadamardMatrix(plan);
      const row = sample(n);
      const product = new Float64Array(n);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) product[j] = product[j]! + row[i]! * matrix[i * n + j]!;
      }
      const single = Float32Array.from(row);
      const fromSingle = Float64Array.from(single);
      applyHadamard(plan, row);
      assert.ok(largestDifference(row, product) <= 2 * n * Number.EPSILON * norm(row));
      applyHadamard(plan, single);
      applyHadamard(plan, fromSingle);
      assert.deepEqual(single, Float32Array.from(fromSingle));
    }
  });

  it('refuses rows of another width', () => {
    assert.throws(() => applyHadamard(planHadamard(12), new Float64Array(13)), RangeError);
  });
});

describe('planPowerOfTwo', () => {
  it('takes the largest power of two that divides the width', () => {
    for (const [n, block] of [
      [1536, 512],
      [11008, 256],
      [14336, 2048],
      [8192, 8192],
      [7, 1],
    ] as const) {
      const plan = planPowerOfTwo(n);
      assert.deepEqual([plan.n, plan.block, plan.order, plan.matrix], [n, block, 1, null]);
      assert.equal(plan.kind, block === n ? 'sylvester' : 'block-diagonal');
    }
  });

  it('is Sylvester’s transform of each block', () => {
    const [blocks, whole] = [planPowerOfTwo(12), planHadamard(4)];
    const [all, apart] = [sample(12), sample(12)];
    applyHadamard(blocks, all);
    applyHadamard(whole, apart);
    assert.deepEqual(all, apart);
  });
});
