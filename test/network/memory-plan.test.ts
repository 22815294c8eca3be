import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import {
  DEFAULT_MEMORY,
  expectedBytes,
  planMemory,
  preparedBytes,
} from '../../src/engine/network/memory-plan.ts';
import { planTape, tapeBytes } from '../../src/engine/network/tape.ts';
import { UserError } from '../../src/protocol/errors.ts';
import { TINY_CONFIG } from '../helpers/tiny-network.ts';

/** The shape of SmolLM2-135M. */
const SMALL: ModelConfig = {
  ...TINY_CONFIG,
  hiddenSize: 576,
  intermediateSize: 1536,
  layers: 30,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  vocabSize: 49152,
  layerWindows: Array.from({ length: 30 }, () => null),
};
const LEARN = { sequence: 512, learns: true, prepared: preparedBytes(SMALL) };

test('without a limit the defaults hold, in whole sequences', () => {
  assert.deepEqual(planMemory(SMALL, { ...LEARN, prepared: 0 }, null), DEFAULT_MEMORY);
  const { tapeBytes: tape } = planMemory(SMALL, LEARN, null);
  assert.ok(tape > 0 && tape < DEFAULT_MEMORY.tapeBytes, 'prepared weights take from the tape');
  assert.equal(planMemory(SMALL, { ...LEARN, sequence: 600 }, null).tokensAtOnce, 1800);
  assert.equal(planMemory(SMALL, { ...LEARN, sequence: 5000 }, null).tokensAtOnce, 5000);
});

test('a tighter limit gives up more and more, and never asks for more than a looser one', () => {
  const plans = [8, 4, 2, 1.5, 1.2, 1, 0.8, 0.65].map((gb) => planMemory(SMALL, LEARN, gb * 1e9));
  for (const [i, plan] of plans.entries()) {
    const looser = plans[i - 1] ?? DEFAULT_MEMORY;
    const held = (p: typeof plan) => p.tapeBytes + p.preparedBytes + p.logitElements * 4;
    assert.ok(held(plan) <= held(looser), `plan ${i}`);
    assert.ok(plan.tokensAtOnce <= looser.tokensAtOnce);
    assert.equal(plan.tokensAtOnce % LEARN.sequence, 0);
  }
  assert.equal(plans[0]!.tapeBytes, DEFAULT_MEMORY.tapeBytes);
  assert.ok(plans.at(-1)!.tapeBytes < DEFAULT_MEMORY.tapeBytes / 4);
  assert.equal(plans.at(-1)!.preparedBytes, 0);
  assert.ok(plans.at(-1)!.tokensAtOnce < 2048);
});

test('weights of half a byte stay where the same ones in float32 would not', () => {
  const large = {
    ...SMALL,
    hiddenSize: 4096,
    intermediateSize: 14336,
    heads: 32,
    kvHeads: 8,
    headDim: 128,
    layers: 32,
  };
  const floats = preparedBytes(large);
  const forward = { sequence: 512, learns: false };
  for (const limit of [null, 8e9]) {
    const kept = (prepared: number) =>
      planMemory(large, { ...forward, prepared }, limit).preparedBytes >= prepared;
    assert.deepEqual([kept(floats), kept(floats / 8)], [false, true], `limit ${limit}`);
  }
});

test('a limit that nothing can meet is a clear error that says what is needed', () => {
  assert.throws(
    () => planMemory(SMALL, LEARN, 0.2e9),
    (error) =>
      error instanceof UserError &&
      error.code === 'memory/limit' &&
      /memoryLimit is 0\.20 GB.*512 tokens.*needs 0\.\d\d GB/.test(error.message),
  );
});

test('the error names the method that needs the memory, and what does without it', () => {
  const moments = { work: 'AWQ scales them', without: 'scaling.method to "none"' };
  const demand = { sequence: 512, learns: false, prepared: 0 };
  assert.throws(
    () => planMemory(SMALL, { ...demand, moments }, 0.2e9),
    (error) =>
      error instanceof UserError &&
      /weights while AWQ scales them, 0\.\d\d GB of it for second moments/.test(error.message) &&
      error.hint === 'Raise memoryLimit, set it to null, or set scaling.method to "none".',
  );
});

test('what a walk keeps is part of what it is expected to take, and stays within a limit', () => {
  const moments = { work: 'GPTQ rounds them', without: 'quantization.weights.method to "rtn"' };
  const demand = { sequence: 512, learns: false, prepared: 0 };
  const walk = { ...demand, moments: { ...moments, walks: true } };
  const tokens = 2 ** 16;
  for (const limit of [null, 1e9, 2e9, 4e9]) {
    const memory = planMemory(SMALL, walk, limit);
    const bytes = expectedBytes(SMALL, walk, memory, tokens);
    const products = bytes - expectedBytes(SMALL, { ...demand, moments }, memory, tokens);
    assert.equal(products, Math.min(memory.productBytes, tokens * SMALL.intermediateSize * 4));
    if (limit !== null) assert.ok(bytes <= limit, `${bytes} of ${limit}`);
  }
  const kept = [1e9, 2e9, 4e9].map((limit) => planMemory(SMALL, walk, limit).productBytes);
  assert.ok(kept[0]! < kept[1]! && kept[1]! < kept[2]!);
});

for (const activationCodes of [false, true])
  test(`the tape never exceeds its budget, and keeps attention before gate and up, codes ${activationCodes}`, () => {
    const shape = { batch: 2, sequence: 512, activationCodes };
    for (const budget of [0, 1e6, 50e6, 300e6, 600e6, 5e9]) {
      const levels = planTape(SMALL, shape, budget);
      const bytes = levels.reduce((sum, level) => sum + tapeBytes(SMALL, shape, level), 0);
      assert.ok(bytes <= budget, `${bytes} of ${budget}`);
      const all = levels.includes('all');
      assert.ok(!(all && levels.includes('nothing')));
    }
    assert.ok(planTape(SMALL, shape, 5e9).every((level) => level === 'all'));
    assert.ok(planTape(SMALL, shape, 0).every((level) => level === 'nothing'));
  });
