import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gram, multiply, transpose } from '../../src/engine/rotation/dense.ts';
import {
  distance,
  estimateOrthogonalityError,
  orthogonalityError,
  polarProjection,
} from '../../src/engine/rotation/orthogonal.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation, randomSignHadamard } from '../../src/engine/rotation/random-rotation.ts';
import { UserError } from '../../src/protocol/errors.ts';

/** A matrix with known polar factor: R = U·P, P symmetric with the singular values given. */
function withSingularValues(
  values: readonly number[],
  rng: Rng,
): { matrix: Float64Array; polar: Float64Array } {
  const n = values.length;
  const polar = haarRotation(n, rng);
  const basis = haarRotation(n, rng);
  const scaled = basis.map((entry, i) => entry * values[Math.floor(i / n)]!);
  return { matrix: multiply(polar, multiply(transpose(basis, n), scaled, n), n), polar };
}

function largestDifference(a: Float64Array, b: Float64Array): number {
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0);
}

describe('dense products', () => {
  it('agree with the definition for sizes around the tiles', () => {
    for (const n of [1, 3, 5, 63, 66, 130]) {
      const a = new Rng(1).fillNormal(new Float64Array(n * n));
      const b = new Rng(2).fillNormal(new Float64Array(n * n));
      const product = multiply(a, b, n);
      const square = gram(a, n);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          let ab = 0;
          let aa = 0;
          for (let k = 0; k < n; k++) {
            ab += a[i * n + k]! * b[k * n + j]!;
            aa += a[k * n + i]! * a[k * n + j]!;
          }
          const bound = 30 * n * Number.EPSILON;
          assert.ok(
            Math.abs(product[i * n + j]! - ab) <= bound && Math.abs(square[i * n + j]! - aa) <= bound,
          );
        }
      }
    }
  });
});

describe('orthogonalityError', () => {
  it('is the largest entry of |RᵀR − I|', () => {
    assert.equal(orthogonalityError(Float64Array.of(1, 0, 0, 1), 2), 0);
    assert.equal(orthogonalityError(Float32Array.of(1, 0.5, 0, 1), 2), 0.5);
    assert.equal(orthogonalityError(Float64Array.of(2, 0, 0, 1), 2), 3);
    assert.ok(Number.isNaN(orthogonalityError(Float64Array.of(1, 0, 0, Number.NaN), 2)));
  });

  it('is NaN wherever a NaN stands, also before gaps that are numbers', () => {
    const n = 5;
    for (let at = 0; at < n * n; at++) {
      for (const [bad, off] of [
        [Number.NaN, 0],
        [Number.POSITIVE_INFINITY, 0],
        [Number.NaN, 0.5],
      ] as const) {
        const matrix = Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : off));
        matrix[at] = bad;
        const [exact, estimate] = [orthogonalityError(matrix, n), estimateOrthogonalityError(matrix, n)];
        assert.ok(!(exact < 1e300) && !(estimate < 1e300), `${at}: ${exact}, ${estimate}`);
      }
    }
  });

  it('float32 storage costs about one float32 rounding', () => {
    const stored = Float32Array.from(haarRotation(100, new Rng(1)));
    assert.ok(orthogonalityError(stored, 100) <= 2 * 2 ** -24);
  });

  it('is bracketed by its estimate', () => {
    for (const size of [1e-6, 1e-3, 0.1]) {
      const n = 96;
      const noise = new Rng(8).fillNormal(new Float64Array(n * n));
      const rotation = randomSignHadamard(n, new Rng(8)).map((v, i) => v + (size * noise[i]!) / Math.sqrt(n));
      const exact = orthogonalityError(rotation, n);
      const estimate = estimateOrthogonalityError(rotation, n);
      // Row norms of E exceed its largest entry by at most √n; half is the estimator's own spread.
      assert.ok(estimate >= exact / 2 && estimate <= 2 * exact * Math.sqrt(n), `${exact} ${estimate}`);
    }
  });
});

describe('polarProjection', () => {
  for (const [name, values] of [
    ['tiny drift', Array.from({ length: 40 }, (_, i) => 1 + 1e-6 * Math.sin(i))],
    ['drift 0.1', Array.from({ length: 40 }, (_, i) => 1 + 0.1 * Math.sin(i))],
    ['far from orthogonal', Array.from({ length: 40 }, (_, i) => 0.05 + 0.2 * i)],
    ['tiny as a whole', Array.from({ length: 40 }, (_, i) => 1e-5 * (1 + i / 40))],
    ['order 1', [-0.3]],
  ] as const) {
    it(`finds the polar factor: ${name}`, () => {
      const n = values.length;
      const { matrix, polar } = withSingularValues(values.map(Math.abs), new Rng(4));
      const found = polarProjection(matrix, n);
      // The polar factor moves by ‖δ‖/σ_min under a perturbation δ, here the rounding n·eps·σ_max of making the matrix.
      const condition = Math.max(...values.map(Math.abs)) / Math.min(...values.map(Math.abs));
      const bound = 4 * n * Number.EPSILON * condition;
      assert.ok(largestDifference(found, polar) <= bound, `${largestDifference(found, polar)} > ${bound}`);
      assert.ok(orthogonalityError(found, n) <= 4 * n * Number.EPSILON);
    });
  }

  it('repairs a float32 rotation and leaves an exact one alone', () => {
    const rotation = haarRotation(64, new Rng(6));
    const drifted = Float32Array.from(rotation);
    const repaired = polarProjection(drifted, 64);
    assert.ok(orthogonalityError(repaired, 64) <= 64 * Number.EPSILON);
    assert.ok(largestDifference(repaired, rotation) <= 2 * 2 ** -24);
    const quick = polarProjection(drifted, 64, 1e-9);
    assert.ok(orthogonalityError(quick, 64) <= 1e-9 && orthogonalityError(quick, 64) > 0);
    const plain = Float64Array.of(0, 1, -1, 0);
    assert.deepEqual(polarProjection(plain, 2), plain);
  });

  it('refuses singular matrices and values that are not finite', () => {
    const isSingular = (error: unknown) => error instanceof UserError && error.code === 'rotation/singular';
    assert.throws(() => polarProjection(new Float64Array(9), 3), isSingular);
    assert.throws(() => polarProjection(Float64Array.of(1, 0, 0, 0), 2), isSingular);
    assert.throws(() => polarProjection(Float64Array.of(1, 0, 0, Number.NaN), 2), isSingular);
    assert.throws(() => polarProjection(Float64Array.of(Number.POSITIVE_INFINITY, 0, 0, 1), 2), isSingular);
  });
});

describe('distance', () => {
  it('is ‖A − B‖_F/√n', () => {
    const n = 200;
    const a = haarRotation(n, new Rng(1));
    assert.equal(distance(a, a, n), 0);
    assert.ok(
      Math.abs(
        distance(
          a,
          a.map((v) => -v),
          n,
        ) - 2,
      ) < 1e-12,
    );
    // ‖A − B‖² = 2n − 2·tr(AᵀB), the trace having variance 1.
    assert.ok(Math.abs(distance(a, haarRotation(n, new Rng(2)), n) - Math.SQRT2) < 5 / n);
  });
});
