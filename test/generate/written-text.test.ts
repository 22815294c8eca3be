/** Text that a network writes: its beginnings, its draws, and what of it is kept. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { GREEDY, sample } from '../../src/engine/generate/sampling.ts';
import { beginnings, writeSequences } from '../../src/engine/generate/write-sequences.ts';
import { nextPart, sequencesAtOnce, writingBytes } from '../../src/engine/generate/writing-memory.ts';
import { type WritingTask, writeText } from '../../src/engine/generate/written-text.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
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

/** Shares of the tokens drawn are within five standard deviations of the largest that a count can have, at 1/2. */
function checkShares(temperature: number, shares: Readonly<Record<number, number>>): void {
  const logits = Float32Array.from([0, Math.log(3), -1, Math.log(6), -2, Math.log(3)]);
  const rng = new Rng(1);
  const counts = new Map<number, number>();
  const draws = 12_000;
  for (let i = 0; i < draws; i++) {
    const id = sample(logits, { temperature, among: 3 }, rng);
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  assert.deepEqual([...counts.keys()].sort(), Object.keys(shares).map(Number));
  const bound = 5 * Math.sqrt(draws / 4);
  for (const [id, share] of Object.entries(shares)) {
    const count = counts.get(Number(id))!;
    assert.ok(Math.abs(count - share * draws) < bound, `${id}: ${count}`);
  }
}

test('draws are among the most likely tokens, as often as they are likely', () => {
  checkShares(1, { 1: 1 / 4, 3: 1 / 2, 5: 1 / 4 });
  // Squares of the probabilities.
  checkShares(1 / 2, { 1: 1 / 6, 3: 2 / 3, 5: 1 / 6 });
  const logits = Float32Array.from([0, 2, 3, 3]);
  assert.equal(sample(logits, GREEDY, new Rng(1)), 2);
  assert.equal(sample(logits, { temperature: 1, among: 1 }, new Rng(1)), 2);
});

test('parts are equal, within what is written side by side', () => {
  const partsOf = (wanted: number, atOnce: number): number[] => {
    if (wanted === 0) return [];
    const next = nextPart(wanted, atOnce);
    return [next, ...partsOf(wanted - next, atOnce)];
  };
  assert.deepEqual(partsOf(5, 8), [5]);
  assert.deepEqual(partsOf(256, 128), [128, 128]);
  assert.deepEqual(partsOf(128, 91), [64, 64]);
  assert.deepEqual(partsOf(7, 3), [3, 2, 2]);
});

test('sequences side by side share a gigabyte of keys and values; a longer one has what it needs', () => {
  const config = { ...network.checkpoint.config, layers: 30, kvHeads: 3, headDim: 64 };
  const perToken = 2 * 30 * 3 * 64 * 4;
  assert.equal(sequencesAtOnce(config, 64), 128);
  assert.equal(sequencesAtOnce(config, 256), Math.floor(2 ** 30 / (256 * perToken)));
  assert.equal(sequencesAtOnce(config, 2 ** 15), 1);
  assert.equal(writingBytes(config, 2 ** 15).cache, 2 ** 15 * perToken);
  assert.ok(writingBytes(config, 256).cache <= 2 ** 30);
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
    assert.equal(ids![length], sample(data.subarray(data.length - (dims[1] ?? 0)), GREEDY, new Rng(0)));
  }
  const endOfSequence = ids![6]!;
  const [ended] = await finish(writeSequences(network, { ...options, endOfSequence }, { from: 0, count: 1 }));
  assert.deepEqual(ended, ids!.slice(0, ids!.indexOf(endOfSequence, 1) + 1));
});

test('writing that was stopped in its second part ends in the tokens of one never stopped', async () => {
  const options = { samples: 5, sequenceLength: LENGTH, seed: 3, endOfSequence: 5, key: 'a' };
  const stopped = { ...options, folder: join(folder, 'stopped'), check: () => undefined };
  const blocks = await finish(writeText(network, { ...stopped, folder: join(folder, 'whole') }));
  const controller = new AbortController();
  const work = async () => {
    for await (const full of writeText(network, stopped, controller.signal)) {
      const parts = readdirSync(stopped.folder).length;
      if (parts === 1 && full > 0) controller.abort();
    }
  };
  await assert.rejects(work(), Cancelled);
  assert.equal(readdirSync(stopped.folder).length, 1);
  assert.deepEqual(await finish(writeText(network, stopped)), blocks);
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
