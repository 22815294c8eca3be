/** Text that a network writes: its beginnings, its draws, and what of it is kept. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { drawAmongLikely, mostLikely } from '../../src/engine/generate/sampling.ts';
import { beginnings, writeSequences } from '../../src/engine/generate/write-sequences.ts';
import { type WritingTask, writeText } from '../../src/engine/generate/written-text.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { goldenFolder } from '../model/goldens.ts';

const LENGTH = 12;
let runtime: Runtime;
let cache: ProgramCache;
let network: Network;
const folder = mkdtempSync(join(tmpdir(), 'written-'));

before(async () => {
  runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  cache = new ProgramCache(runtime);
  network = new Network(cache, await openCheckpoint(goldenFolder('llama')), {
    ...{ mode: 'plain', quantizers: FULL_PRECISION, maps: NO_MAPS, centreEmbedding: false },
  });
});
after(async () => {
  await cache.release();
  runtime.close();
  rmSync(folder, { recursive: true });
});

/** The numbers that a generator yields never fall. @returns what it returns. */
async function finish<T>(writing: AsyncGenerator<number, T>): Promise<T> {
  for (let before = 0; ; ) {
    const next = await writing.next();
    if (next.done) return next.value;
    assert.ok(next.value >= before);
    before = next.value;
  }
}

test('every token begins with every greedy length, once in three passes over the vocabulary', () => {
  for (const vocabulary of [63, 64, 65]) {
    const beginningOf = beginnings(vocabulary, 7);
    const seen = new Set<string>();
    for (let index = 0; index < 3 * vocabulary; index++) {
      const { first, greedyLength } = beginningOf(index);
      assert.ok(first >= 0 && first < vocabulary && [3, 4, 5].includes(greedyLength));
      seen.add(`${first} ${greedyLength}`);
    }
    assert.equal(seen.size, 3 * vocabulary);
    const firsts = (seed: number) =>
      Array.from({ length: 9 }, (_, i) => beginnings(vocabulary, seed)(i).first);
    assert.notDeepEqual(firsts(7), firsts(8));
  }
});

test('draws are among the most likely tokens, as often as they are likely', () => {
  const logits = Float32Array.from([0, Math.log(3), -1, Math.log(6), -2, Math.log(3)]);
  assert.equal(mostLikely(logits), 3);
  const rng = new Rng(1);
  const counts = new Map<number, number>();
  const draws = 12_000;
  for (let i = 0; i < draws; i++) {
    const id = drawAmongLikely(logits, 3, rng);
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  assert.deepEqual([...counts.keys()].sort(), [1, 3, 5]);
  // Five standard deviations of a count with probability 1/2.
  const bound = 5 * Math.sqrt(draws / 4);
  for (const [id, share] of [
    [1, 1 / 4],
    [3, 1 / 2],
    [5, 1 / 4],
  ] as const)
    assert.ok(Math.abs(counts.get(id)! - share * draws) < bound, `${id}: ${counts.get(id)}`);
  assert.equal(drawAmongLikely(logits, 1, rng), 3);
});

test('a sequence begins greedily, depends on its number alone, and ends at the end token', async () => {
  const options = { seed: 3, sequenceLength: LENGTH, endOfSequence: null };
  const some = await finish(writeSequences(network, options, { from: 0, count: 4 }));
  const [third] = await finish(writeSequences(network, options, { from: 2, count: 1 }));
  assert.deepEqual(third, some[2]);
  const [ids] = some;
  const { first, greedyLength } = beginnings(network.checkpoint.config.vocabSize, 3)(0);
  assert.equal(ids![0], first);
  for (let length = 1; length < greedyLength; length++) {
    const { layers } = network;
    let x = await network.embed(ids!.slice(0, length));
    for (let layer = 0; layer < layers; layer++)
      x = await network.layer(layer, x, { batch: 1, sequence: length });
    const { data, dims } = await network.logits(x);
    assert.equal(ids![length], mostLikely(data.subarray(data.length - (dims[1] ?? 0))));
  }
  const endOfSequence = ids![6]!;
  const [ended] = await finish(writeSequences(network, { ...options, endOfSequence }, { from: 0, count: 1 }));
  assert.deepEqual(ended, ids!.slice(0, ids!.indexOf(endOfSequence, 1) + 1));
});

test('text is cut into blocks; kept parts serve again, and damaged ones or those of another key are written anew', async () => {
  // Sequences end early: several parts are needed.
  const task: WritingTask = {
    ...{
      samples: 5,
      sequenceLength: LENGTH,
      seed: 3,
      endOfSequence: 5,
      folder,
      key: 'a',
      check: () => undefined,
    },
  };
  const collect = (given: WritingTask) => finish(writeText(network, given));
  const blocks = await collect(task);
  assert.deepEqual(
    blocks.map(({ length }) => length),
    [LENGTH, LENGTH, LENGTH, LENGTH, LENGTH],
  );
  const parts = readdirSync(folder).sort();
  assert.ok(parts.length > 1);
  const refuse = () => {
    throw new Error('nothing is to be written');
  };
  assert.deepEqual(await collect({ ...task, check: refuse }), blocks);
  const path = join(folder, parts[1]!);
  const bytes = readFileSync(path);
  writeFileSync(path, bytes.subarray(0, bytes.length - 8));
  assert.deepEqual(await collect(task), blocks);
  assert.deepEqual(readFileSync(path), bytes);
  await assert.rejects(collect({ ...task, key: 'b', check: refuse }), /nothing is to be written/);
});
