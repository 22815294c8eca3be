import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adamStep } from '../../src/engine/calibration/adam.ts';

/** Of a few dozen operations in double precision, on numbers of about 1. */
const ROUNDING = 1e-13;

const OPTIONS = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, decay: 0.1, rate: 0.05 } as const;

test('a slope that stays moves a value by the rate, beside the decay: corrected averages are the slope and its square', () => {
  const slopes = [3, -0.2, 0];
  const values = Float64Array.of(1, -2, 4);
  const expected = Float64Array.from(values);
  const moments = { mean: new Float64Array(3), square: new Float64Array(3) };
  for (let step = 1; step <= 20; step++) {
    adamStep(values, slopes, moments, { ...OPTIONS, step });
    for (const [i, g] of slopes.entries()) {
      const direction = g / (Math.abs(g) + OPTIONS.epsilon);
      expected[i]! -= OPTIONS.rate * (OPTIONS.decay * expected[i]! + direction);
      assert.ok(Math.abs(values[i]! - expected[i]!) < ROUNDING, `value ${i} behind step ${step}`);
    }
  }
});

test('averages forget by their decays, and single precision keeps the nearest numbers', () => {
  const slopes = [0.5, -1, 0.25, 2];
  const values = Float32Array.of(1);
  const moments = { mean: Float32Array.of(0), square: Float32Array.of(0) };
  let value = 1;
  for (const [at, slope] of slopes.entries()) {
    const step = at + 1;
    adamStep(values, [slope], moments, { ...OPTIONS, step });
    // As sums over all slopes so far, instead of step by step.
    const average = (beta: number, power: number): number =>
      slopes.slice(0, step).reduce((sum, g, i) => sum + (1 - beta) * beta ** (at - i) * g ** power, 0) /
      (1 - beta ** step);
    const quotient = average(OPTIONS.beta1, 1) / (Math.sqrt(average(OPTIONS.beta2, 2)) + OPTIONS.epsilon);
    value -= OPTIONS.rate * (OPTIONS.decay * value + quotient);
  }
  // Each of 4 steps rounds the value and both averages, of relative weight below 1, to 24 bits.
  assert.ok(Math.abs(values[0]! - value) < 4 * 3 * 2 ** -24, `${values[0]} is not ${value}`);
});
