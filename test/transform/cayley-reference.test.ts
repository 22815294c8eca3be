import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { multiply, transpose } from '../../src/engine/rotation/dense.ts';
import { orthogonalityError } from '../../src/engine/rotation/orthogonal.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { cayleyStepReference, skewDirection } from '../helpers/cayley-reference.ts';

/** Solves A·X = B by elimination with partial pivoting; all [n, n]. */
function solve(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const left = a.slice();
  const right = b.slice();
  const swap = (m: Float64Array, i: number, j: number) => {
    const row = m.slice(i * n, (i + 1) * n);
    m.copyWithin(i * n, j * n, (j + 1) * n);
    m.set(row, j * n);
  };
  const subtract = (m: Float64Array, i: number, k: number, factor: number) => {
    for (let j = 0; j < n; j++) m[i * n + j] = m[i * n + j]! - factor * m[k * n + j]!;
  };
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k; i < n; i++) if (Math.abs(left[i * n + k]!) > Math.abs(left[pivot * n + k]!)) pivot = i;
    swap(left, k, pivot);
    swap(right, k, pivot);
    for (let i = 0; i < n; i++) {
      const factor = i === k ? 0 : left[i * n + k]! / left[k * n + k]!;
      subtract(left, i, k, factor);
      subtract(right, i, k, factor);
    }
  }
  return right.map((value, i) => value / left[Math.floor(i / n) * (n + 1)]!);
}

/** Largest column sum of |A|: the norm in which the iteration contracts. */
function oneNorm(a: Float64Array, n: number): number {
  const sums = new Float64Array(n);
  a.forEach((value, i) => {
    sums[i % n]! += Math.abs(value);
  });
  return Math.max(...sums);
}

/** ‖A − B‖_F. */
function frobenius(a: Float64Array, b: Float64Array): number {
  return Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0));
}

function caseOf(n: number, seed: number) {
  const p = haarRotation(n, new Rng(seed));
  const g = new Rng(seed + 1000).fillNormal(new Float64Array(n * n));
  const v = transpose(g, n).map((value) => -value);
  const x = transpose(p, n);
  return { p, g, v, x, w: skewDirection(p, x, v, n) };
}

/** I + factor·W. */
function shifted(w: Float64Array, factor: number, n: number): Float64Array {
  return w.map((value, i) => factor * value + (i % (n + 1) === 0 ? 1 : 0));
}

describe('cayleyStepReference', () => {
  for (const n of [1, 2, 7, 32, 48]) {
    for (const learningRate of [1e-3, 1.5, 1e6]) {
      it(`n = ${n}, η = ${learningRate}: five iterations approach the closed form as the contraction promises`, () => {
        const { p, g, v, x, w } = caseOf(n, n);
        const { rotation, alpha } = cayleyStepReference(p, g, n, learningRate);
        const exact = solve(shifted(w, -alpha / 2, n), multiply(shifted(w, alpha / 2, n), x, n), n);
        // Y ← X + (α/2)W(X + Y) multiplies the error by αW/2, and ‖αW/2‖₂ ≤ c = ‖αW/2‖₁ ≤ ½ for a skew W: five steps
        // leave at most c⁵ of ‖Y₀ − Y*‖_F. A projection may double that, since Y* is an orthogonal matrix too.
        const contraction = (alpha / 2) * oneNorm(w, n);
        const start = x.map((value, i) => value + alpha * v[i]!);
        const bound = 2 * contraction ** 5 * frobenius(start, exact);
        const error = frobenius(transpose(rotation, n), exact);
        // Dividing rows by (norm + 1e-8) shrinks X by 1e-8.
        assert.ok(contraction <= 0.5 && error <= bound + 2e-8 * Math.sqrt(n), `${error} > ${bound}`);
      });
    }
  }

  it('converges to the closed form with more iterations', () => {
    const n = 24;
    const { p, g, x, w } = caseOf(n, 3);
    const { rotation, alpha } = cayleyStepReference(p, g, n, 1.5, 60);
    const exact = transpose(solve(shifted(w, -alpha / 2, n), multiply(shifted(w, alpha / 2, n), x, n), n), n);
    assert.ok(frobenius(rotation, exact) < 1e-7 * Math.sqrt(n));
  });

  it('caps the step at 1/‖W‖₁ and takes the learning rate below it', () => {
    const n = 16;
    const { p, g, w } = caseOf(n, 5);
    const long = cayleyStepReference(p, g, n, 1.5);
    assert.ok(Math.abs(long.stepCap * oneNorm(w, n) - 1) < 1e-6);
    assert.equal(long.alpha, long.stepCap);
    assert.ok(long.alpha < 1.5);
    const short = cayleyStepReference(p, g, n, 1e-3);
    assert.equal(short.alpha, 1e-3);
    assert.equal(short.stepCap, long.stepCap);
    const still = cayleyStepReference(p, new Float64Array(n * n), n, 1.5);
    assert.equal(still.alpha, 1.5, 'a zero gradient has a cap of 1e8');
    assert.ok(frobenius(still.rotation, p) < 2e-8 * Math.sqrt(n), 'only the row normalisation is left');
  });

  it('descends: the loss falls at the rate (α/4)‖G − P·Gᵀ·P‖²', () => {
    const n = 12;
    const target = new Rng(70).fillNormal(new Float64Array(n * n));
    const mixer = new Rng(71).fillNormal(new Float64Array(n * n));
    // f(P) = Σ sin(P·M)∘T, smooth and without symmetry; ∂f/∂P = (cos(P·M)∘T)·Mᵀ.
    const loss = (p: Float64Array) =>
      multiply(p, mixer, n).reduce((sum, value, i) => sum + Math.sin(value) * target[i]!, 0);
    const gradient = (p: Float64Array) =>
      multiply(
        multiply(p, mixer, n).map((value, i) => Math.cos(value) * target[i]!),
        transpose(mixer, n),
        n,
      );
    const p = haarRotation(n, new Rng(72));
    const g = gradient(p);
    for (let i = 0; i < n * n; i += 7) {
      const h = 1e-5;
      const up = loss(p.map((value, j) => (j === i ? value + h : value)));
      const down = loss(p.map((value, j) => (j === i ? value - h : value)));
      assert.ok(
        Math.abs((up - down) / (2 * h) - g[i]!) < 1e-6,
        'the test function has the gradient it claims',
      );
    }
    const pgp = multiply(p, multiply(transpose(g, n), p, n), n);
    const slope = g.reduce((sum, value, i) => sum + (value - pgp[i]!) ** 2, 0) / 4;
    const errors = [1e-4, 5e-5].map((rate) => {
      const { rotation } = cayleyStepReference(p, g, n, rate);
      return (loss(p) - loss(rotation)) / rate - slope;
    });
    // The difference quotient is off by O(α): half the step, half the error.
    assert.ok(slope > 0 && Math.abs(errors[0]!) < 0.2 * slope, `${errors[0]} of ${slope}`);
    assert.ok(Math.abs(errors[1]! / errors[0]! - 0.5) < 0.1, `${errors[1]! / errors[0]!}`);
  });

  it('stays orthogonal over a run, projecting only when the drift asks for it', () => {
    const n = 32;
    let p = Float64Array.from(haarRotation(n, new Rng(80)));
    let projections = 0;
    for (let step = 0; step < 100; step++) {
      const g = new Rng(81 + step).fillNormal(new Float64Array(n * n)).map((value) => value / n);
      const result = cayleyStepReference(p, g, n, 0.75 * (1 + Math.cos((Math.PI * step) / 100)));
      assert.ok(result.projected === result.drift > 1e-5);
      if (result.projected) projections += 1;
      p = Float64Array.from(result.rotation);
      assert.ok(orthogonalityError(p, n) <= 1e-5, `step ${step}`);
    }
    assert.ok(projections < 100);
    const spoiled = p.map((value, i) => value * (1 + 0.01 * Math.sin(i)));
    const repaired = cayleyStepReference(spoiled, new Float64Array(n * n), n, 1);
    assert.ok(repaired.projected && orthogonalityError(repaired.rotation, n) < 1e-12);
  });
});
