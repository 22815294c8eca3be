/** What bench/quality/residual-basis.ts computes: eigenvectors, singular values of T − I, and repairs of low rank. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normOf, repaired, shareOfLargest, sizeOf, stepBetween } from '../../bench/quality/basis/low-rank.ts';
import { symmetricEigen } from '../../bench/quality/basis/symmetric-eigen.ts';
import { identity, multiply, transpose } from '../../src/engine/rotation/dense.ts';
import { distance, orthogonalityError } from '../../src/engine/rotation/orthogonal.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';

/** Sums of n² products of float64 numbers of about 1 stay below. */
const TINY = 1e-11;

test('eigenvectors of symmetric matrices, also where values are equal or all vanish', () => {
  for (const n of [1, 2, 3, 8, 37]) {
    const own = haarRotation(n, new Rng(n));
    for (const value of [(i: number) => i - 3, (i: number) => i >> 2, () => 0, (i: number) => 10 ** -i]) {
      const scaled = own.map((x, at) => x * value(Math.floor(at / n)));
      const matrix = multiply(transpose(own, n), scaled, n);
      const { values, vectors } = symmetricEigen(matrix, n);
      const wanted = Array.from({ length: n }, (_, i) => value(i)).sort((a, b) => b - a);
      for (const [i, one] of wanted.entries())
        assert.ok(Math.abs(values[i]! - one) < TINY, `${n}: ${values[i]}, not ${one}`);
      assert.ok(orthogonalityError(transpose(vectors, n), n) < TINY);
      const back = multiply(
        transpose(vectors, n),
        vectors.map((x, at) => x * values[Math.floor(at / n)]!),
        n,
      );
      assert.ok(distance(back, matrix, n) < TINY);
    }
  }
  assert.throws(() => symmetricEigen(new Float64Array(4).fill(Number.NaN), 2), /converge/);
});

test('a step that turns two planes has rank 4, and a repair of rank 4 is the step', () => {
  const n = 24;
  const before = haarRotation(n, new Rng(1));
  const basis = haarRotation(n, new Rng(2));
  const turn = identity(n);
  for (const [at, angle] of [
    [0, 0.4],
    [5, 2],
  ] as const) {
    turn[at * n + at] = turn[(at + 1) * n + at + 1] = Math.cos(angle);
    turn[at * n + at + 1] = Math.sin(angle);
    turn[(at + 1) * n + at] = -Math.sin(angle);
  }
  const t = multiply(multiply(basis, turn, n), transpose(basis, n), n);
  const behind = multiply(before, t, n);
  const step = stepBetween(before, behind, n);
  // |e^{iφ} − 1| = 2 sin(φ / 2), twice for each plane.
  const squares = [2, 0.4].map((angle) => 8 * Math.sin(angle / 2) ** 2);
  assert.ok(Math.abs(normOf(step) - 2 * Math.sin(1)) < TINY);
  assert.ok(Math.abs(sizeOf(step) - (squares[0]! + squares[1]!) / (2 * n)) < TINY);
  assert.ok(Math.abs(shareOfLargest(step, 2) - squares[0]! / (squares[0]! + squares[1]!)) < TINY);
  assert.ok(distance(repaired(before, step, 4), behind, n) < TINY);
  const half = repaired(before, step, 2);
  assert.ok(orthogonalityError(half, n) < TINY);
  assert.ok(Math.abs(n * distance(half, behind, n) ** 2 - squares[1]!) < TINY);
});
