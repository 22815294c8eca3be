import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { learningRateAt } from '../../src/engine/calibration/schedule.ts';
import { clipGlobalNorm } from '../../src/engine/transform/learning/gradient-clip.ts';

describe('learningRateAt', () => {
  it('follows the formulas', () => {
    const at = (schedule: 'cosine' | 'linear' | 'constant') =>
      [0, 25, 50, 75, 99].map((step) => learningRateAt(schedule, 1.5, step, 100));
    const cosine = at('cosine');
    assert.equal(cosine[0], 1.5);
    assert.ok(Math.abs(cosine[2]! - 0.75) < 1e-15);
    assert.ok(Math.abs(cosine[1]! + cosine[3]! - 1.5) < 1e-15);
    assert.ok(cosine[4]! > 0 && cosine[4]! < 0.001);
    assert.deepEqual(
      at('linear').map((rate) => Math.round(rate * 1e9) / 1e9),
      [1.5, 1.125, 0.75, 0.375, 0.015],
    );
    assert.deepEqual(at('constant'), [1.5, 1.5, 1.5, 1.5, 1.5]);
  });
});

describe('clipGlobalNorm', () => {
  it('scales all gradients by one factor and reports the norm before', () => {
    const gradients = [Float32Array.of(3, 0), Float32Array.of(0, 4, 12)];
    assert.equal(clipGlobalNorm(gradients, 1), 13);
    const expected = [
      [3 / 13, 0],
      [0, 4 / 13, 12 / 13],
    ];
    gradients.forEach((gradient, i) => {
      gradient.forEach((value, j) => {
        assert.ok(Math.abs(value - expected[i]![j]!) < 2e-7);
      });
    });
  });

  it('leaves small gradients alone', () => {
    const gradients = [Float32Array.of(0.3, 0.4)];
    const before = gradients[0]!.slice();
    assert.ok(Math.abs(clipGlobalNorm(gradients, 1) - 0.5) < 1e-7);
    assert.deepEqual(gradients[0], before);
    assert.equal(clipGlobalNorm([Float32Array.of(30, 40)], Number.POSITIVE_INFINITY), 50);
    assert.equal(clipGlobalNorm([], 1), 0);
  });

  it('does not lose small terms in float32', () => {
    // In float32 each 1e-6 would vanish beside 1e6, whose ulp is 0.06.
    const many = new Float32Array(2 ** 21).fill(1e-3);
    assert.ok(
      Math.abs(clipGlobalNorm([Float32Array.of(1000), many], Infinity) ** 2 - 1e6 - 2 ** 21 * 1e-6) < 1e-3,
    );
  });
});
