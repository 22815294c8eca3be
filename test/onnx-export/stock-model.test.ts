/** Every architecture as an ONNX folder: unmodified onnxruntime-node computes what the engine does. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { planAcrossHeads } from '../../src/engine/rotation/hadamard-plan.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
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
 * are 14 such errors; softmax may double those of its scores.
 */
const HALF = 2 * Math.sqrt(14 / 3) * 2 ** -11;
/** Codes are exact: what is left are the two tables, in whose rows each layer's branches pass errors on. */
const HALF_TABLES = HALF;
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
    assert.ok(off < HALF_TABLES * size(exact.own), `${off} of ${size(exact.own)}`);
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
  const seams = { 'attention-norm': config.hiddenSize, 'mlp-norm': config.hiddenSize } as const;
  const form = {
    maps: {
      'attention-norm': { kind: 'diagonal' },
      'mlp-norm': { kind: 'diagonal' },
      'across-heads': { kind: 'across-heads', transform: planAcrossHeads(config.heads) },
      'up-down': { kind: 'diagonal' },
    },
    state: {
      'attention-norm': factors(seams['attention-norm']),
      'mlp-norm': factors(seams['mlp-norm']),
      'up-down': factors(config.intermediateSize),
    },
  } as const;
  const bits = { weights: 4, activations: 16 } as const;
  const { own, stock } = await look(t, 'llama', { ...bits, ...form });
  assert.ok(distance(stock, own) < HALF_TABLES * size(own), `${distance(stock, own)}`);
  const other = await look(t, 'llama', bits);
  assert.ok(distance(own, other.own) > 10 * HALF_TABLES * size(own), 'other scales are other weights');
});

test('groups with zero points', async (t) => {
  const form = { weights: 4, activations: 16, groupSize: 16, asymmetric: true } as const;
  const { own, stock } = await look(t, 'llama', form);
  assert.ok(distance(stock, own) < HALF_TABLES * size(own), `${distance(stock, own)}`);
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

test('tables of tokens at 8 and 4 bits are rounded, 4 bits the more', async (t) => {
  // Hidden sizes of one block, and of blocks that are filled up.
  for (const name of ['llama', 'mistral-window-sharded']) {
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
      assert.ok(times > 0.5 && times < 2, `${name}: ${noise}`);
      assert.ok(noise[0] > 2 ** -11 * size(exact));
    }
  }
});
