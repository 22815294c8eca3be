/** Every architecture as a folder with our operators: it computes what the engine's network does, token by token. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { Decoder } from '../../src/engine/generate/decoder.ts';
import { lossSum } from '../../src/engine/generate/token-choice.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { type Checkpoint, openCheckpoint, withKeyMeans } from '../../src/engine/model/checkpoint.ts';
import type { Network } from '../../src/engine/network/network.ts';
import { cacheRowsOf } from '../../src/engine/onnx-export/native-attention.ts';
import { NativeNetwork } from '../../src/engine/onnx-export/native-network.ts';
import { type FolderReport, writeModelAsFolder } from '../../src/engine/onnx-export/write-folder.ts';
import type { TableChoice } from '../../src/engine/onnx-export/write-model.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { KRONECKER_MAPS, kroneckerState } from '../helpers/kronecker.ts';
import { NativeFolder } from '../helpers/native-session.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';
import { notBuilt } from '../native/support.ts';
import { cacheTypeOf, distance, type Form, NO_TOKENS, newFolder, rotated, size } from './exported.ts';

const runtime = await createRuntime({ kernels: 'auto', threads: 1 });
const cache = new ProgramCache(runtime);
after(async () => {
  await cache.release();
  runtime.close();
});

const EXACT: TableChoice = { embeddings: 32, head: 32 };

async function written(
  t: TestContext,
  network: Network,
  tables = EXACT,
): Promise<{ readonly folder: NativeFolder; readonly report: FolderReport }> {
  const out = join(newFolder(t), 'model');
  const model = { cache, network, tables, target: 'native', tokens: NO_TOKENS, origin: {} } as const;
  const report = await writeModelAsFolder(out, model);
  return { folder: new NativeFolder(runtime, out, network.checkpoint.config, cacheTypeOf(network)), report };
}

/** A prompt, a token, more than a block of 16 tokens, a token, the rest. */
const CHUNKS = [5, 1, 11, 1, 6];

/** Logits [n, V] of each chunk: its last token's in the engine, all in the folder; and how far these are off. */
async function bothLogits(
  t: TestContext,
  name: string,
  form: Form,
  tables = EXACT,
  change = (checkpoint: Checkpoint): Checkpoint => checkpoint,
) {
  const checkpoint = change(await openCheckpoint(goldenFolder(name)));
  const { vocabSize } = checkpoint.config;
  const ids = Int32Array.from(readGolden(name).ids);
  const network = rotated(cache, checkpoint, { ...form, integer: 'always' });
  const { folder, report } = await written(t, network, tables);
  const decoder = new Decoder(network, 1, ids.length);
  const off: number[] = [];
  let start = 0;
  for (const count of CHUNKS) {
    const part = ids.subarray(start, start + count);
    const own = (await decoder.next(part)).data;
    const last = (await folder.read(part)).subarray((count - 1) * vocabSize);
    off.push(distance(last, own) / size(own));
    start += count;
  }
  assert.equal(start, ids.length);
  return { off: Math.max(...off), report };
}

/**
 * One product, of at most 80 columns, whose sums ONNX Runtime may take in another order: that of the output layer. All
 * before it is the same to the bit without R1, since no matrix but these is a constant here and an input in the engine.
 */
const HEAD = 80 * 2 ** -24;
/** Numbers in place of codes: seven products in two layers and three at the ends. A softmax may double an error. */
const NUMBERS = 2 * (2 * 7 + 3) * HEAD;

for (const name of GOLDEN_NAMES)
  test(`${name}: activations, keys and values of 4 bits`, { skip: notBuilt }, async (t) => {
    const { off, report } = await bothLogits(t, name, { weights: 4, activations: 4, cache: 4, r1: false });
    assert.ok(off < HEAD, `${off}`);
    const { operators } = report;
    assert.deepEqual([operators.Int4MatMul, operators.PackedAttention, operators.AppendTokens], [14, 2, 4]);
  });

const OTHERS: readonly (Form & { readonly operators: readonly string[] })[] = [
  { weights: 4, activations: 8, r1: false, operators: ['Int4MatMul', 'CachedAttention'] },
  { weights: 4, activations: 8, cache: 8, r1: false, operators: ['Int4MatMul', 'PackedAttention'] },
  { weights: 3, activations: 4, groupSize: 16, asymmetric: true, r1: false, operators: ['Int4MatMul'] },
  { weights: 4, activations: 4, activationGroup: 16, r1: false, operators: ['Int4MatMul'] },
  { weights: 4, activations: 4, groupSize: 16, activationGroup: 8, r1: false, operators: ['Int4MatMul'] },
];

for (const { operators, ...form } of OTHERS)
  test(`${JSON.stringify(form)}`, { skip: notBuilt }, async (t) => {
    const { off, report } = await bothLogits(t, 'qwen3', form);
    assert.ok(off < HEAD, `${off}`);
    for (const name of operators) assert.ok(report.operators[name], name);
  });

test('products that are not of whole numbers, and R1 at run time', { skip: notBuilt }, async (t) => {
  const { off, report } = await bothLogits(t, 'llama', { weights: 4, activations: 16 });
  assert.ok(off < NUMBERS, `${off}`);
  assert.match(
    report.notes.join(' '),
    /All products are of float32 numbers, with codes of weights in 4 bits: activations have 16 bits\./,
  );
  const eight = await bothLogits(t, 'llama', { weights: 8, activations: 8, r1: false });
  assert.match(eight.report.notes.join(' '), /weights in 8 bits: weights have 8 bits\./);
  // Sums in another order put a few numbers on the other side of a tie: a step is 2⁻⁸ of a token's range.
  assert.ok(eight.off < 2 ** -7, `${eight.off}`);
  assert.equal(eight.report.operators.FakeQuantize, 8, 'q, k and v read the same codes');
});

test('products of Kronecker', { skip: notBuilt }, async (t) => {
  const { config } = await openCheckpoint(goldenFolder('llama'));
  const form = { maps: KRONECKER_MAPS, state: kroneckerState(config, 1) };
  const { off } = await bothLogits(t, 'llama', { weights: 4, activations: 16, ...form });
  // Three maps of two products in each layer beside the others.
  assert.ok(off < 2 * (2 * (7 + 3 * 2) + 3) * HEAD, `${off}`);
});

test('sites and layers with other bits than the rest', { skip: notBuilt }, async (t) => {
  const form = { weights: 4, activations: 4, cache: 4, r1: false } as const;
  const activations = { sites: ['down', 'gate-up'], layers: [1], activations: { bits: 8 } };
  const inWhole = await bothLogits(t, 'qwen3', { ...form, exceptions: [activations] });
  assert.ok(inWhole.off < HEAD, `${inWhole.off}`);
  assert.equal(inWhole.report.operators.Int4MatMul, 14);
  const weights = { sites: 'o', layers: [0], weights: { bits: 8 } };
  const mixed = await bothLogits(t, 'qwen3', { ...form, exceptions: [activations, weights] });
  assert.equal(mixed.report.operators.Int4MatMul, 13);
  assert.match(
    mixed.report.notes.join(' '),
    /Products of o are of float32 numbers, with codes of weights in 4 or 8 bits: weights have 8 bits in 1 of 2 layers\./,
  );
  // Sums in another order put a few numbers on the other side of a tie of 4 bits: a step is 2⁻⁴ of a token's range.
  assert.ok(mixed.off < 2 ** -3, `${mixed.off}`);
});

test('clip ratios of one layer', { skip: notBuilt }, async (t) => {
  const form = { weights: 4, activations: 4, cache: 4, r1: false } as const;
  const parts = { activations: { clipRatio: 0.8 }, keys: { clipRatio: 0.6 }, values: { clipRatio: 0.7 } };
  const { off } = await bothLogits(t, 'qwen3', { ...form, exceptions: [{ layers: [1], ...parts }] });
  assert.ok(off < HEAD, `${off}`);
});

for (const name of ['llama', 'qwen2', 'qwen3'])
  test(`${name}: keys without their mean`, { skip: notBuilt }, async (t) => {
    const form = { weights: 4, activations: 4, r1: false, keyOffset: 'mean' } as const;
    for (const cached of [{ cache: 4 }, { cache: 8 }] as const) {
      const { off } = await bothLogits(t, name, { ...form, ...cached }, EXACT, meansOf);
      assert.ok(off < HEAD, `${off}`);
    }
  });

/** Any constant may be taken out, as long as it comes back. */
function meansOf(checkpoint: Checkpoint): Checkpoint {
  const { layers, kvHeads, headDim } = checkpoint.config;
  const dims = [1, kvHeads * headDim];
  const mean = (layer: number) =>
    float32(
      dims,
      Float32Array.from({ length: dims[1]! }, (_, i) => Math.sin(i + layer)),
    );
  return withKeyMeans(
    checkpoint,
    Array.from({ length: layers }, (_, layer) => mean(layer)),
  );
}

test('a tied output layer shares the table of the embeddings', { skip: notBuilt }, async (t) => {
  const form = { weights: 4, activations: 16, r1: false } as const;
  const { off, report } = await bothLogits(t, 'llama3-scaled-tied', form, { embeddings: 16, head: 16 });
  // Weights of the golden models are float32: two tables are off by 2⁻¹¹ at most, and a softmax may double that.
  assert.ok(off < 4 * 2 ** -11, `${off}`);
  assert.ok(report.embeddings.bytes > 0);
  assert.deepEqual(report.head, { bits: 16, bytes: 0, error: null });
});

test('tables of 8 and 4 bits say what they cost', { skip: notBuilt }, async (t) => {
  const network = rotated(cache, await openCheckpoint(goldenFolder('llama')), { weights: 4, activations: 8 });
  const { report } = await written(t, network, { embeddings: 8, head: 4 });
  const { embeddings, head } = report;
  assert.deepEqual([embeddings.bits, head.bits], [8, 4]);
  // Rounding to steps of max|w|/127 and max|w|/7 of a block, √12 times finer in the mean, of numbers ≥ max|w|/3.
  assert.ok(embeddings.error! < 3 / 127 / Math.sqrt(12) && head.error! < 3 / 7 / Math.sqrt(12));
  assert.ok(head.error! / embeddings.error! > 10);
  assert.match(report.notes.join(' '), /Embeddings are rounded to 8 bits: .* instead of .*, off by 0\.\d+ %/);
  assert.match(report.notes.join(' '), /Rows of the output layer are rounded to 4 bits: /);
});

test('windows read from a folder have the losses of the network', { skip: notBuilt }, async (t) => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const { config } = checkpoint;
  const form = { weights: 4, activations: 4, cache: 4, r1: false, integer: 'always' } as const;
  const network = rotated(cache, checkpoint, form);
  const out = join(newFolder(t), 'model');
  const model = { cache, network, tables: EXACT, target: 'native', tokens: NO_TOKENS, origin: {} } as const;
  await writeModelAsFolder(out, model);
  const reader = new NativeNetwork(runtime, out, config, cacheRowsOf(network));
  t.after(() => reader.release());
  const ids = Int32Array.from(readGolden('llama').ids);
  // Windows of two lengths, since each length has a session of its own.
  for (const windows of [[ids, ids.toReversed()], [ids.subarray(3)]]) {
    const losses = await reader.meanLosses(windows);
    for (const [index, window] of windows.entries()) {
      const logits = await sequenceLogits(network, window);
      const own = lossSum(logits.subarray(0, -config.vocabSize), window.subarray(1)) / (window.length - 1);
      // The loss follows the largest error of a logit at most twice, which is at most √n times that of all n.
      const allowed = 2 * HEAD * size(logits) * Math.sqrt(logits.length);
      assert.ok(Math.abs(losses[index]! - own) < allowed, `${losses[index]} for ${own}, allowed ${allowed}`);
    }
  }
});
