/** What ranks compute together is what one process computes alone. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { captureActivations } from '../../src/engine/calibration/capture.ts';
import { lossAndGradients } from '../../src/engine/calibration/gradient-step.ts';
import { SecondMoment } from '../../src/engine/calibration/second-moment.ts';
import { ONE_RANK, type Ranks, shareOf } from '../../src/engine/distributed/ranks.ts';
import { measurePerplexity } from '../../src/engine/evaluate/perplexity.ts';
import type { EncodedTask } from '../../src/engine/evaluate/tasks/encode.ts';
import { scoreTask } from '../../src/engine/evaluate/tasks/score.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { DEFAULT_MEMORY } from '../../src/engine/network/memory-plan.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { differentWindows, rotatedNetwork } from '../helpers/golden-network.ts';
import { onRanksInMemory } from '../helpers/ranks.ts';
import { noise } from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';

const SIZES = [2, 3];
const SEQUENCE = 16;
/** Two windows pass at once, so that ranks have several groups, and the last ones not alike. */
const MEMORY = { ...DEFAULT_MEMORY, tokensAtOnce: 2 * SEQUENCE, groupBytes: 1 };

const runtime = await createRuntime({ threads: 1 });
const checkpoint = await openCheckpoint(goldenFolder('llama'));
const { config } = checkpoint;
const caches: ProgramCache[] = [];
after(async () => {
  for (const cache of caches) await cache.release();
  runtime.close();
});

function cacheOf(ranks: Ranks): ProgramCache {
  const cache = new ProgramCache(runtime, ranks);
  caches.push(cache);
  return cache;
}

function plainNetwork(ranks: Ranks): Network {
  const plain = { mode: 'plain', quantizers: FULL_PRECISION, maps: NO_MAPS, centreEmbedding: false } as const;
  return new Network(cacheOf(ranks), checkpoint, { ...plain, memory: MEMORY });
}

async function last<T>(generator: AsyncGenerator<unknown, T>): Promise<T> {
  for (;;) {
    const next = await generator.next();
    if (next.done) return next.value;
  }
}

test('shares are neighbours, cover the whole, and differ by at most one in length', () => {
  for (const length of [0, 1, 5, 12])
    for (const size of [1, 2, 3, 7]) {
      const items = Array.from({ length }, (_, i) => i);
      const shares = Array.from({ length: size }, (_, rank) => shareOf(items, { rank, size }));
      assert.deepEqual(shares.flat(), items);
      const lengths = shares.map((share) => share.length);
      assert.ok(Math.max(...lengths) - Math.min(...lengths) <= 1);
    }
});

for (const size of SIZES)
  test(`${size} ranks find the perplexity of one, to the bit`, async () => {
    const text = { name: 'text', windows: differentWindows(config, 7, SEQUENCE) };
    const measure = (ranks: Ranks) => last(measurePerplexity(plainNetwork(ranks), text));
    const alone = await measure(ONE_RANK);
    for (const found of await onRanksInMemory(size, measure)) assert.deepEqual(found, alone);
  });

for (const size of SIZES)
  test(`${size} ranks score a task as one does`, async () => {
    const draw = noise(5);
    const ids = (length: number) =>
      Int32Array.from({ length }, () => Math.floor((draw() + 1) * 0.5 * config.vocabSize));
    const questions = Array.from({ length: 9 }, (_, i) => ({
      place: () => `question ${i}`,
      gold: i % 2,
      requests: [3, 4].map((labels) => {
        const input = ids(8 + (i % 3) * 2);
        return { input, labels: input.slice(-labels), bytes: labels };
      }),
    }));
    const task: EncodedTask = { task: 'piqa', questions, cut: 0 };
    const score = (ranks: Ranks) => last(scoreTask(plainNetwork(ranks), task, true));
    const alone = await score(ONE_RANK);
    for (const found of await onRanksInMemory(size, score)) assert.deepEqual(found, alone);
  });

for (const [size, massiveWeight] of SIZES.flatMap((size) => [[size, 1] as const, [size, 4] as const]))
  test(`${size} ranks capture the rows of one, to the bit, massive tokens ${massiveWeight} times`, async () => {
    const blocks = differentWindows(config, 5, SEQUENCE);
    const capture = async (ranks: Ranks) => {
      const network = plainNetwork(ranks);
      return captureActivations(cacheOf(ranks), network, blocks, { seed: 3, massiveWeight });
    };
    const alone = await capture(ONE_RANK);
    assert.ok(alone.residual![0]!.rows.some((x) => x !== 0));
    for (const found of await onRanksInMemory(size, capture))
      for (const seam of ['residual', 'value'] as const)
        for (const [index, { rows, count }] of alone[seam]!.entries()) {
          assert.equal(found[seam]![index]!.count, count);
          // A zero may have lost its sign.
          assert.ok(rows.every((x, i) => found[seam]![index]!.rows[i] === x));
        }
  });

/** Half a unit in the last place of 1 in float32. */
const ROUNDING = 2 ** -24;

for (const size of SIZES)
  test(`second moments of ${size} ranks are those of one but for the order of their sums`, async () => {
    const [n, tokens, parts] = [19, 24, 5];
    const draw = noise(n);
    const text = Array.from({ length: parts }, () =>
      float32([tokens, n], Float32Array.from({ length: tokens * n }, draw)),
    );
    const moment = async (ranks: Ranks) => {
      const sums = new SecondMoment(cacheOf(ranks), n);
      for (const rows of shareOf(text, ranks)) await sums.add(rows);
      await sums.sumOver(ranks);
      return sums.sum.data;
    };
    const alone = await moment(ONE_RANK);
    const found = await onRanksInMemory(size, moment);
    for (const other of found) assert.deepEqual(other, found[0]);
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) {
        let sizes = 0;
        for (const { data } of text)
          for (let t = 0; t < data.length; t += n) sizes += Math.abs(data[t + i]! * data[t + j]!);
        // Both have the same products; a sum has at most one rounding for each term, and one more for each rank.
        const bound = 2 * (tokens * parts + size) * ROUNDING * sizes;
        assert.ok(Math.abs(found[0]![i * n + j]! - alone[i * n + j]!) <= bound);
      }
  });

for (const size of SIZES)
  test(`the gradient of ${size} ranks is that of one but for rounding`, async () => {
    const batch = differentWindows(config, 5, SEQUENCE);
    const step = async (ranks: Ranks, some = batch) => {
      const options = { mode: 'merged', quantizers: FULL_PRECISION, memory: MEMORY } as const;
      return lossAndGradients(rotatedNetwork(cacheOf(ranks), checkpoint, options).network, some, 1);
    };
    const alone = await step(ONE_RANK);
    const singles = [];
    for (const ids of batch) singles.push(await step(ONE_RANK, [ids]));
    const found = await onRanksInMemory(size, (ranks) => step(ranks));
    for (const one of found) {
      assert.equal(one.tokens, alone.tokens);
      // Sequences pass alone here: their losses are the same bits, and only their sum has another order.
      assert.ok(Math.abs(one.loss - alone.loss) <= batch.length * Number.EPSILON * alone.loss);
      assert.deepEqual(one.gradients, found[0]!.gradients);
    }
    for (const seam of ['residual', 'value'] as const)
      for (const [index, exact] of alone.gradients[seam]!.entries())
        for (const [i, x] of exact.entries()) {
          // A mean over sequences of one length: the sum of each rank is rounded to float32, and their sum is, too.
          const parts = singles.reduce((sum, one) => sum + Math.abs(one.gradients[seam]![index]![i]!), 0);
          const off = Math.abs(x - found[0]!.gradients[seam]![index]![i]!);
          // What is computed of a sequence alone has the factor 1 / tokens of its own: a rounding in each product.
          assert.ok(off <= (2 * ROUNDING * parts * (1 + 2 ** -10)) / batch.length + Number.MIN_VALUE);
        }
  });
