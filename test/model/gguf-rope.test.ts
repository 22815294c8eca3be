import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GgufFields, shortestFloat32 } from '../../src/engine/model/gguf/fields.ts';
import { readRopeScaling, solveFrequencyFactors } from '../../src/engine/model/gguf/rope-scaling.ts';
import { ropeFrequencies } from '../../src/engine/model/rope.ts';
import { llama3Factors } from './gguf-models.ts';

const META = { low: 1, high: 4, positions: 8192 };

/** Models of this rule: parameters come back as they were. */
const KNOWN = [
  ['Llama 3.1 8B', 128, 500000, { ...META, factor: 8 }],
  ['Llama 3.2 1B', 64, 500000, { ...META, factor: 32 }],
  ['another context', 128, 10000, { ...META, positions: 4096, factor: 4 }],
  ['one blended pair', 8, 1000, { ...META, positions: 64, factor: 8 }],
] as const;

for (const [name, headDim, ropeTheta, rule] of KNOWN) {
  test(`frequency factors give the Llama 3 parameters: ${name}`, () => {
    const factors = llama3Factors(headDim, ropeTheta, rule);
    assert.deepEqual(solveFrequencyFactors({ headDim, ropeTheta }, factors), {
      type: 'llama3',
      factor: rule.factor,
      lowFreqFactor: rule.low,
      highFreqFactor: rule.high,
      originalMaxPositions: rule.positions,
    });
  });
}

/** Several parameters mean the same: what counts is that the frequencies are those of the file. */
const FREE = [
  ['other low and high', 128, 500000, { low: 1.7, high: 9, positions: 10000, factor: 6.5 }],
  ['a context that is no whole number', 128, 500000, { low: 1, high: 4, positions: 5000.4, factor: 8 }],
  ['no blended pair', 4, 1e6, { ...META, positions: 100, factor: 8 }],
] as const;

for (const [name, headDim, ropeTheta, rule] of FREE) {
  test(`frequency factors give a rule with the same frequencies: ${name}`, () => {
    const factors = llama3Factors(headDim, ropeTheta, rule);
    const solved = solveFrequencyFactors({ headDim, ropeTheta }, factors);
    assert.ok(solved);
    const plain = ropeFrequencies({ headDim, ropeTheta, ropeScaling: null });
    const scaled = ropeFrequencies({ headDim, ropeTheta, ropeScaling: solved });
    // The file's factors come from float32 frequencies, see the product's tolerance.
    for (const [j, factor] of factors.entries())
      assert.ok(Math.abs(plain[j]! / scaled[j]! / factor - 1) < 1e-4, `pair ${j}`);
    assert.ok(factors.includes(1) && Math.max(...factors) > 1, 'the case has kept and divided pairs');
  });
}

test('equal factors are linear scaling or none; others are refused', () => {
  const base = { headDim: 8, ropeTheta: 10000 };
  const solve = (...factors: number[]) => solveFrequencyFactors(base, Float32Array.from(factors));
  assert.equal(solve(1, 1, 1, 1), null);
  assert.deepEqual(solve(4, 4, 4, 4), { type: 'linear', factor: 4 });
  for (const factors of [
    [1, 2, 3, 4],
    [8, 8, 1, 1],
    [1, 1, 1],
    [1, 0, 1, 8],
    [1, Number.NaN, 8, 8],
  ])
    assert.equal(solve(...factors), undefined, factors.join());
});

test('float32 numbers are read as they were written', () => {
  for (const value of [1e-5, 1e-6, 500000, 0.1, 1 / 3, 2 ** -126])
    assert.equal(Math.fround(shortestFloat32(Math.fround(value))), Math.fround(value));
  assert.equal(shortestFloat32(Math.fround(1e-5)), 1e-5);
  assert.equal(shortestFloat32(Math.fround(0.1)), 0.1);
  assert.equal(shortestFloat32(0.1), 0.1, 'a float64 stays');
});

test('yarn as llama.cpp has it: the magnitude of the paper times a factor of the file', () => {
  const read = (keys: Record<string, unknown>) => {
    const named = Object.entries(keys).map(([key, value]) => [`llama.${key}`, value] as const);
    const fields = new GgufFields({ path: 'm.gguf', metadata: new Map<string, never>(named as never) });
    return readRopeScaling(fields, 'llama', { headDim: 8, ropeTheta: 10000 }, undefined);
  };
  const keys = { 'rope.scaling.type': 'yarn', 'rope.scaling.factor': 4, context_length: 256 };
  const yarn = { type: 'yarn', factor: 4, betaFast: 32, betaSlow: 1, truncate: true };
  const magnitude = 1 + 0.1 * Math.log(4);
  assert.deepEqual(read(keys), { ...yarn, originalMaxPositions: 256, attentionFactor: magnitude });
  const told = { 'rope.scaling.original_context_length': 64, 'rope.scaling.attn_factor': 0.5 };
  assert.deepEqual(read({ ...keys, ...told }), {
    ...yarn,
    originalMaxPositions: 64,
    attentionFactor: 0.5 * magnitude,
  });
  assert.throws(() => read({ ...keys, 'rope.scaling.factor': undefined }), /rope\.scaling\.factor/);
});
