/** Every architecture as an ONNX folder: unmodified onnxruntime-node computes what the engine does. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { planAcrossHeads } from '../../src/engine/rotation/hadamard-plan.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { KRONECKER_MAPS, kroneckerState } from '../helpers/kronecker.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';
import { distance, exported, type Form, rotated, size } from './exported.ts';

const runtime = await createRuntime({ kernels: 'auto', threads: 1 });
const cache = new ProgramCache(runtime);
after(async () => {
  await cache.release();
  runtime.close();
});

/**
 * Every number of a float16 weight is off by at most 2⁻¹¹ of it, by 2⁻¹¹/√3 in the mean square, and so is a product with
 * it where the errors are independent. Two layers of three products behind each other in two branches, and two tables,
 * are 14 such errors; softmax may double those of its scores. Codes are exact: beside them there are fewer errors.
 */
const HALF = 2 * Math.sqrt(14 / 3) * 2 ** -11;
/** Sums of at most 80 products of float32 in another order, 80 · 2⁻²⁴ of their size, thrice behind each other. */
const ORDER = 3 * 80 * 2 ** -24;
/**
 * Steps of 8 bits are max|x|/127 of a block here, in the engine (max − min)/255 of a token, which has several blocks:
 * noise is as large at most. Where a token lies on one side of 0, the engine's step is half of that.
 */
const NOISE = 2;

/** A prompt, single tokens, a second prompt, single tokens. */
const CHUNKS = [5, 1, 1, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];

async function look(t: Parameters<typeof exported>[0], name: string, form: Form) {
  const checkpoint = await openCheckpoint(goldenFolder(name));
  const ids = Int32Array.from(readGolden(name).ids);
  const network = rotated(cache, checkpoint, form);
  const own = await sequenceLogits(network, ids);
  const { session, report } = await exported(t, cache, network);
  return { own, stock: await session.logits(ids), session, report, ids };
}

test('weights with other bits than the rest keep them', async (t) => {
  const exceptions = [{ sites: 'down', layers: [1], weights: { bits: 8 } }];
  const mixed = await look(t, 'llama', { weights: 4, activations: 16, exceptions });
  const four = await look(t, 'llama', { weights: 4, activations: 16 });
  assert.ok(distance(mixed.stock, mixed.own) < HALF * size(mixed.own));
  assert.ok(distance(mixed.stock, four.stock) > 10 * HALF * size(mixed.own), 'another network');
  assert.match(mixed.report.notes.join(' '), /Of the exceptions of the run, weights have their own bits/);
});

for (const name of GOLDEN_NAMES) {
  test(`${name}: rotated, at 16 bits, whole and in parts`, async (t) => {
    const { own, stock, session, ids } = await look(t, name, { weights: 16, activations: 16 });
    assert.ok(distance(stock, own) < HALF * size(own), `${distance(stock, own)} of ${size(own)}`);
    const golden = readGolden(name).logits.flat();
    assert.ok(distance(stock, golden) < HALF * size(golden), 'those of transformers');
    const parts = await session.logits(ids, CHUNKS);
    assert.ok(distance(parts, stock) < ORDER * size(stock), `${distance(parts, stock)}`);
    const pairs = [0, 1].flatMap((layer) => [`${layer}.key`, `${layer}.value`]);
    const past = pairs.map((pair) => `past_key_values.${pair}`);
    assert.deepEqual(session.inputNames, ['input_ids', 'attention_mask', ...past]);
    assert.deepEqual(session.outputNames, ['logits', ...pairs.map((pair) => `present.${pair}`)]);
  });

  test(`${name}: weights of 4 bits`, async (t) => {
    const exact = await look(t, name, { weights: 4, activations: 16 });
    const off = distance(exact.stock, exact.own);
    assert.ok(off < HALF * size(exact.own), `${off} of ${size(exact.own)}`);
    const rounded = await look(t, name, { weights: 4, activations: 8 });
    const [noise, own] = [distance(rounded.stock, exact.stock), distance(rounded.own, exact.own)];
    assert.ok(noise < NOISE * own, `${noise}, in the engine ${own}`);
    assert.ok(noise > 2 * off, 'activations are rounded');
    assert.equal(exact.report.operators.MatMulNBits, 14);
  });
}

test('scales of channels and a transform across heads act at run time', async (t) => {
  const { config } = await openCheckpoint(goldenFolder('llama'));
  const factors = (width: number) =>
    Array.from({ length: config.layers }, (_, layer) =>
      Float32Array.from({ length: width }, (_, i) => 0.5 + ((i * 7 + layer) % 11) / 8),
    );
  const form = {
    maps: {
      'attention-norm': { kind: 'diagonal' },
      'mlp-norm': { kind: 'diagonal' },
      'across-heads': { kind: 'across-heads', transform: planAcrossHeads(config.heads) },
      'up-down': { kind: 'diagonal' },
    },
    state: {
      'attention-norm': factors(config.hiddenSize),
      'mlp-norm': factors(config.hiddenSize),
      'up-down': factors(config.intermediateSize),
    },
  } as const;
  const bits = { weights: 4, activations: 16 } as const;
  const { own, stock } = await look(t, 'llama', { ...bits, ...form });
  assert.ok(distance(stock, own) < HALF * size(own), `${distance(stock, own)}`);
  const other = await look(t, 'llama', bits);
  assert.ok(distance(own, other.own) > 10 * HALF * size(own), 'other scales are other weights');
});

test('products of Kronecker act at run time', async (t) => {
  const { config } = await openCheckpoint(goldenFolder('llama'));
  const bits = { weights: 4, activations: 16 } as const;
  const form = { maps: KRONECKER_MAPS, state: kroneckerState(config, 1) };
  const { own, stock, session, ids } = await look(t, 'llama', { ...bits, ...form });
  assert.ok(distance(stock, own) < HALF * size(own), `${distance(stock, own)}`);
  const parts = await session.logits(ids, CHUNKS);
  assert.ok(distance(parts, stock) < ORDER * size(stock), `${distance(parts, stock)}`);
  const other = await look(t, 'llama', { ...bits, ...form, state: kroneckerState(config, 2) });
  assert.ok(distance(own, other.own) > 10 * HALF * size(own), 'other maps are other weights');
});

test('groups with zero points', async (t) => {
  const form = { weights: 4, activations: 16, groupSize: 16, asymmetric: true } as const;
  const { own, stock } = await look(t, 'llama', form);
  assert.ok(distance(stock, own) < HALF * size(own), `${distance(stock, own)}`);
});

test('a run of other bits says what becomes of them', async (t) => {
  const { report } = await look(t, 'llama', { weights: 3, activations: 4, cache: 4 });
  assert.match(report.notes.join('\n'), /Codes of 3 bits are stored in 4/);
  assert.match(report.notes.join('\n'), /scale of a row is repeated for each block of 32 columns/);
  assert.match(
    report.notes.join('\n'),
    /rounds activations to 4 bits, for which ONNX Runtime has no product/,
  );
  assert.match(report.notes.join('\n'), /Keys and values stay float32 \(keys 4, values 4 bits in the run\)/);
  assert.match(report.notes.join('\n'), /R3 is left out/);
});

test('texts of several lengths are read together; none is longer than the context', async (t) => {
  const { session, stock, ids } = await look(t, 'llama', { weights: 4, activations: 8 });
  const short = ids.subarray(3, 12);
  const alone = await session.logits(short);
  const both = await session.batchLogits([ids, short]);
  const at = (from: number, like: Float32Array) => both.subarray(from, from + like.length);
  assert.ok(distance(at(0, stock), stock) < ORDER * size(stock));
  assert.ok(distance(at(stock.length, alone), alone) < ORDER * size(alone));
  // Rotary tables end there: nothing may be read behind them.
  await assert.rejects(session.logits(new Int32Array(257).fill(1)), /RotaryEmbedding/);
});

// Rows of 40 columns do not end with a block.
test('tables of tokens at 8 and 4 bits are rounded, 4 bits the more', async (t) => {
  const name = 'mistral-window-sharded';
  const checkpoint = await openCheckpoint(goldenFolder(name));
  const ids = Int32Array.from(readGolden(name).ids);
  const network = rotated(cache, checkpoint, { weights: 16, activations: 16 });
  const at = async (embeddings: 16 | 8 | 4, head: 16 | 8 | 4) =>
    (await exported(t, cache, network, { embeddings, head })).session.logits(ids);
  const exact = await at(16, 16);
  for (const [eight, four] of [
    [await at(8, 16), await at(4, 16)],
    [await at(16, 8), await at(16, 4)],
  ] as const) {
    const noise = [distance(eight, exact), distance(four, exact)] as const;
    // Steps are 127/7 times as wide; a network is not linear.
    const times = noise[1] / noise[0] / (127 / 7);
    assert.ok(times > 0.5 && times < 2, `${noise}`);
    assert.ok(noise[0] > 2 ** -11 * size(exact));
  }
});
