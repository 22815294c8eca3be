import { multiply, transpose } from '../../src/engine/rotation/dense.ts';
import { orthogonalityError, polarProjection } from '../../src/engine/rotation/orthogonal.ts';
import {
  CAYLEY_EPSILON,
  CAYLEY_ITERATIONS,
  MAX_DRIFT,
} from '../../src/engine/transform/learning/cayley-sgd.ts';

type Matrix = Float32Array | Float64Array;

/** One optimizer step and what it did. */
export interface CayleyStepResult {
  /** The new rotation, [n, n] row-major float64. */
  readonly rotation: Float64Array;
  /** t = 1/(‖W‖₁ + 1e-8), the longest step on which the iteration still contracts by ½. */
  readonly stepCap: number;
  /** α = min(t, η), the step taken. */
  readonly alpha: number;
  /** max |PᵀP − I| of the new rotation, before a projection. */
  readonly drift: number;
  /** True if the drift called for the polar projection. */
  readonly projected: boolean;
}

/**
 * One step of Cayley SGD (SGDG; Li, Li & Todorovic 2020) on a rotation P with gradient G = ∂loss/∂P, in float64 loops:
 * the reference of the graph that is run in production.
 *
 * 1. U = P with its rows divided by (norm + 1e-8); X = Uᵀ; V = −Gᵀ.
 * 2. W̃ = V·U − ½·Uᵀ·(U·V·U); W = W̃ − W̃ᵀ, skew.
 * 3. t = 1/(‖W‖₁ + 1e-8) with ‖·‖₁ the largest column sum of |·|; α = min(t, η).
 * 4. Y = X + αV; five times Y ← X + (α/2)·W·(X + Y); the new P is Yᵀ.
 *
 * The fixed point is the Cayley transform (I − αW/2)⁻¹(I + αW/2)X. To first order P ← P − (α/2)(G − P·Gᵀ·P).
 * Momentum has no effect in the published optimizer (its buffer is never stored), so there is none here.
 * @param rotation P, [n, n], orthogonal but for rounding. Not changed.
 * @param gradient G, [n, n], clipped already.
 * @param learningRate η > 0.
 */
export function cayleyStepReference(
  rotation: Matrix,
  gradient: Matrix,
  n: number,
  learningRate: number,
  iterations = CAYLEY_ITERATIONS,
): CayleyStepResult {
  const u = normalizeRows(rotation, n);
  const x = transpose(u, n);
  const v = transpose(
    Float64Array.from(gradient, (value) => -value),
    n,
  );
  const w = skewDirection(u, x, v, n);
  const stepCap = 1 / (largestColumnSum(w, n) + CAYLEY_EPSILON);
  const alpha = Math.min(stepCap, learningRate);
  let y = x.map((value, i) => value + alpha * v[i]!);
  for (let i = 0; i < iterations; i++) {
    const turned = multiply(
      w,
      x.map((value, j) => value + y[j]!),
      n,
    );
    y = x.map((value, j) => value + (alpha / 2) * turned[j]!);
  }
  const next = transpose(y, n);
  const drift = orthogonalityError(next, n);
  const projected = drift > MAX_DRIFT;
  return { rotation: projected ? polarProjection(next, n) : next, stepCap, alpha, drift, projected };
}

/** W = W̃ − W̃ᵀ, W̃ = V·U − ½·X·(U·V·U). For orthogonal U it equals ½(V·U − UᵀVᵀ). */
export function skewDirection(u: Float64Array, x: Float64Array, v: Float64Array, n: number): Float64Array {
  const vu = multiply(v, u, n);
  const projection = multiply(x, multiply(u, vu, n), n);
  const half = vu.map((value, i) => value - projection[i]! / 2);
  const mirrored = transpose(half, n);
  return half.map((value, i) => value - mirrored[i]!);
}

function normalizeRows(matrix: Matrix, n: number): Float64Array {
  const out = Float64Array.from(matrix);
  for (let i = 0; i < n; i++) {
    const row = out.subarray(i * n, (i + 1) * n);
    const norm = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    for (let j = 0; j < n; j++) row[j] = row[j]! / (norm + CAYLEY_EPSILON);
  }
  return out;
}

function largestColumnSum(matrix: Float64Array, n: number): number {
  const sums = new Float64Array(n);
  matrix.forEach((value, i) => {
    sums[i % n]! += Math.abs(value);
  });
  return sums.reduce((largest, value) => Math.max(largest, value), 0);
}
