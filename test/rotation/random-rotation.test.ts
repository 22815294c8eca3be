import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gram } from '../../src/engine/rotation/dense.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import {
  drawRotations,
  haarRotation,
  randomSignHadamard,
} from '../../src/engine/rotation/random-rotation.ts';
import { hadamardMatrix } from '../helpers/hadamard-matrix.ts';

function orthogonalityGap(rotation: Float64Array, n: number): number {
  const product = gram(rotation, n);
  return product.reduce((worst, v, i) => Math.max(worst, Math.abs(v - (i % (n + 1) === 0 ? 1 : 0))), 0);
}

describe('randomSignHadamard', () => {
  it('is diag(s) times the Hadamard transform, with signs in the order of the stream', () => {
    for (const n of [1, 6, 32, 48, 92]) {
      const rotation = randomSignHadamard(n, new Rng(5));
      const plain = hadamardMatrix(planHadamard(n));
      const rng = new Rng(5);
      for (let i = 0; i < n; i++) {
        const sign = rng.sign();
        for (let j = 0; j < n; j++) assert.ok(rotation[i * n + j] === sign * plain[i * n + j]!);
      }
      assert.ok(orthogonalityGap(rotation, n) <= 4 * n * Number.EPSILON);
    }
  });
});

describe('haarRotation', () => {
  for (const n of [1, 2, 3, 31, 32, 33, 65, 200]) {
    it(`is orthogonal for n = ${n}`, () => {
      const rotation = haarRotation(n, new Rng(n));
      // n reflections, each orthogonal to a few ulp, on entries of size 1/√n.
      assert.ok(orthogonalityGap(rotation, n) <= 10 * Math.sqrt(n) * Number.EPSILON + 4 * Number.EPSILON);
    });
  }

  it('is the Q of a QR decomposition with positive diagonal, reflection by reflection', () => {
    // For n = 2 the definition can be written out: x = first Gaussian pair, y = next single one.
    const [a, b] = new Rng(11).fillNormal(new Float64Array(2));
    const rotation = haarRotation(2, new Rng(11));
    const norm = Math.hypot(a!, b!);
    assert.ok(Math.abs(rotation[0]! - a! / norm) < 1e-15);
    assert.ok(Math.abs(rotation[2]! - b! / norm) < 1e-15);
  });

  it('has the moments of the Haar measure', () => {
    const n = 5;
    const draws = 4000;
    const rng = new Rng(2);
    let trace = 0;
    let traceSquared = 0;
    let fourth = 0;
    let determinants = 0;
    for (let k = 0; k < draws; k++) {
      const q = haarRotation(n, rng);
      let t = 0;
      for (let i = 0; i < n; i++) t += q[i * n + i]!;
      trace += t / draws;
      traceSquared += (t * t) / draws;
      fourth += q[7]! ** 4 / draws;
      determinants += Math.sign(determinant(q, n));
    }
    // E tr Q = 0, E (tr Q)² = 1, E (tr Q)⁴ = 3 for O(n); E q⁴ = 3/(n(n + 2)); determinants ±1 are equally likely.
    assert.ok(Math.abs(trace) < 5 / Math.sqrt(draws), `trace ${trace}`);
    assert.ok(Math.abs(traceSquared - 1) < 5 * Math.sqrt(2 / draws), `trace² ${traceSquared}`);
    const eighth = 105 / (n * (n + 2) * (n + 4) * (n + 6));
    const expected = 3 / (n * (n + 2));
    assert.ok(Math.abs(fourth - expected) < 5 * Math.sqrt((eighth - expected ** 2) / draws), `q⁴ ${fourth}`);
    assert.ok(Math.abs(determinants) < 5 * Math.sqrt(draws), `determinants ${determinants}`);
  });

  it('takes less than a second at n = 576', () => {
    const began = performance.now();
    haarRotation(576, new Rng(0));
    const seconds = (performance.now() - began) / 1000;
    assert.ok(seconds < 4, `${seconds} s (four times the aim, for a busy machine)`);
  });
});

describe('drawRotations', () => {
  it('draws R1 first, then R2 of each layer, from one stream', () => {
    const model = { hidden: 12, headDim: 4, layers: 3 };
    const { r1, r2 } = drawRotations(model, { r1: 'hadamard', r2: 'random' }, new Rng(9));
    const rng = new Rng(9);
    assert.deepEqual(r1, Float32Array.from(randomSignHadamard(12, rng)));
    for (const rotation of r2!) assert.deepEqual(rotation, Float32Array.from(haarRotation(4, rng)));
    assert.equal(r2!.length, 3);
  });

  it('leaves out what is not asked for', () => {
    const model = { hidden: 12, headDim: 4, layers: 1 };
    assert.deepEqual(drawRotations(model, { r1: null, r2: null }, new Rng(0)), { r1: null, r2: null });
  });
});

/** By elimination; entries of a rotation need no pivoting beyond the largest. */
function determinant(matrix: Float64Array, n: number): number {
  const a = matrix.slice();
  let product = 1;
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(a[i * n + k]!) > Math.abs(a[pivot * n + k]!)) pivot = i;
    if (pivot !== k) {
      product = -product;
      for (let j = 0; j < n; j++) [a[k * n + j], a[pivot * n + j]] = [a[pivot * n + j]!, a[k * n + j]!];
    }
    product *= a[k * n + k]!;
    for (let i = k + 1; i < n; i++) {
      const factor = a[i * n + k]! / a[k * n + k]!;
      for (let j = k; j < n; j++) a[i * n + j] = a[i * n + j]! - factor * a[k * n + j]!;
    }
  }
  return product;
}
