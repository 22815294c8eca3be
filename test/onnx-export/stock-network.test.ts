/** A network as one ONNX session: token by token, stopped, and how its graph differs from an exported one. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { continueText } from '../../src/engine/generate/continue-text.ts';
import { MOST_LIKELY } from '../../src/engine/generate/token-choice.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { StockNetwork } from '../../src/engine/onnx-export/stock-network.ts';
import { writeModel } from '../../src/engine/onnx-export/write-model.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';
import { distance, newFolder, rotated, SIXTEEN, size } from './exported.ts';

const runtime = await createRuntime({ kernels: 'auto', threads: 1 });
const cache = new ProgramCache(runtime);
after(async () => {
  await cache.release();
  runtime.close();
});

/** See stock-model.test.ts: numbers of 16 bits, and sums in another order. */
const HALF = 2 * Math.sqrt(14 / 3) * 2 ** -11;
const ORDER = 3 * 80 * 2 ** -24;

async function opened(t: TestContext, name = 'llama', callTokens?: number) {
  const checkpoint = await openCheckpoint(goldenFolder(name));
  const merged = rotated(cache, checkpoint, { weights: 16, activations: 16 });
  const folder = join(newFolder(t), 'model');
  mkdirSync(folder);
  const content = { cache, network: merged, tables: SIXTEEN };
  const written = await writeModel(folder, { ...content, target: 'stock', purpose: 'run' });
  const place = { device: 'cpu', threads: 1, ...(callTokens && { callTokens }) } as const;
  const network = await StockNetwork.open(folder, checkpoint.config, place);
  t.after(() => network.release());
  const ids = Int32Array.from(readGolden(name).ids);
  return { network, merged, written, ids, config: checkpoint.config };
}

for (const name of GOLDEN_NAMES)
  test(`${name}: logits of the last token, in parts and after another text`, async (t) => {
    const { network, merged, ids, config } = await opened(t, name);
    const own = (await sequenceLogits(merged, ids)).subarray(-config.vocabSize);
    const reader = network.reader(1, ids.length);
    await reader.next(ids.subarray(3, 8));
    reader.rewind();
    assert.equal(reader.length, 0);
    const whole = (await reader.next(ids)).data;
    assert.ok(distance(whole, own) < HALF * size(own), `${distance(whole, own)} of ${size(own)}`);
    reader.rewind();
    await reader.next(ids.subarray(0, 5));
    await reader.next(ids.subarray(5, 6));
    const parts = (await reader.next(ids.subarray(6))).data;
    assert.equal(reader.length, ids.length);
    assert.ok(distance(parts, whole) < ORDER * size(whole), `${distance(parts, whole)}`);
  });

test('calls of few tokens, as a GPU may need them, give the same', async (t) => {
  const whole = await opened(t);
  const short = await opened(t, 'llama', 4);
  const { ids } = whole;
  const [all, parts] = [
    (await whole.network.reader(1, ids.length).next(ids)).data,
    (await short.network.reader(1, ids.length).next(ids)).data,
  ];
  assert.ok(distance(parts, all) < ORDER * size(all), `${distance(parts, all)}`);
  const [a, b] = [await whole.network.meanLosses([ids]), await short.network.meanLosses([ids])];
  assert.ok(Math.abs(a[0]! - b[0]!) < 2 * ORDER * size(all), `${a} ${b}`);
});

test('mean losses are those of the logits of whole windows', async (t) => {
  const { network, merged, ids, config } = await opened(t);
  const windows = [ids.subarray(0, 8), ids.subarray(4, 12)];
  const means = await network.meanLosses(windows);
  for (const [place, window] of windows.entries()) {
    const logits = await sequenceLogits(merged, window);
    let sum = 0;
    for (let row = 0; row + 1 < window.length; row++) {
      const scores = logits.subarray(row * config.vocabSize, (row + 1) * config.vocabSize);
      sum += Math.log(scores.reduce((all, x) => all + Math.exp(x), 0)) - scores[window[row + 1]!]!;
    }
    const wanted = sum / (window.length - 1);
    // A loss moves by twice as much as its logits at most.
    assert.ok(Math.abs(means[place]! - wanted) < 2 * HALF * size(logits), `${means[place]} for ${wanted}`);
  }
});

test('text ends where it is stopped, and more than the context is refused before it is read', async (t) => {
  const { network, ids, config } = await opened(t);
  assert.throws(() => network.reader(2, 8), /reader of 2 sequences/);
  const stop = new AbortController();
  const task = { prompt: ids.subarray(0, 3), tokens: 20, choice: MOST_LIKELY, seed: 0, stops: [] };
  const writing = continueText(network, () => '', { ...task, endTokens: new Set() }, stop.signal);
  let seen = 0;
  for (;;) {
    const next = await writing.next();
    if (next.done) {
      assert.equal(next.value.ended, 'cancelled');
      assert.equal(next.value.ids.length, 4);
      break;
    }
    if (next.value.type === 'token' && ++seen === 4) stop.abort();
  }
  await assert.rejects(network.reader(1, 9).next(ids, stop.signal), Cancelled);
  const most = config.maxPositions;
  assert.throws(() => network.reader(1, most + 1), {
    code: 'generate/context',
    message: new RegExp(`${most} positions, and ${most + 1} are needed`),
  });
  await assert.rejects(network.meanLosses([new Int32Array(most + 1)]), { code: 'generate/context' });
});

test('a graph for a run has its norms in one operator, and no table that is read at 16 bits', async (t) => {
  const { written, config } = await opened(t);
  const { operators, loadedBytes } = written;
  assert.equal(operators.SimplifiedLayerNormalization, 2 * config.layers + 1);
  assert.equal(operators.Pow, undefined);
  // Seven products a layer and two tables, of which all but the embeddings are turned; no rows are widened one by one.
  assert.equal(operators.Cast, 7 * config.layers + 2 + 2);
  const table = config.vocabSize * config.hiddenSize * Float32Array.BYTES_PER_ELEMENT;
  assert.ok(loadedBytes > 2 * table);
});
