/** Training as a whole: it lowers the divergence, and goes on to the same bits wherever it was stopped. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { methodsOf } from '../../src/config/index.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { loadMethod } from '../../src/engine/methods/index.ts';
import { type Checkpoint, openCheckpoint, withWeights } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { DEFAULT_MEMORY } from '../../src/engine/network/memory-plan.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { KeptTraining } from '../../src/engine/training/kept-training.ts';
import { batches } from '../../src/engine/training/train.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { tinyQuantizers } from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';

const STEPS = 6;
let runtime: Runtime;
let cache: ProgramCache;
let checkpoint: Checkpoint;
const root = mkdtempSync(join(tmpdir(), 'trained-'));

before(async () => {
  runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  cache = new ProgramCache(runtime);
  checkpoint = await openCheckpoint(goldenFolder('llama3-scaled-tied'));
});
after(async () => {
  await cache.release();
  runtime.close();
  rmSync(root, { recursive: true });
});

function kept(folder: string, key = 'key'): KeptTraining {
  return new KeptTraining(join(root, folder), key, () => undefined);
}

/** Trains, up to an event count. @returns losses of the steps that were made. */
async function train(folder: string, stopAfter = Number.POSITIVE_INFINITY): Promise<(number | null)[]> {
  const [descriptor] = methodsOf('training');
  const method = await loadMethod(descriptor?.name ?? '', 'training');
  const { config } = checkpoint;
  const plain = { mode: 'plain', quantizers: FULL_PRECISION, maps: NO_MAPS, centreEmbedding: false } as const;
  const work = {
    cache,
    teacher: new Network(cache, checkpoint, plain),
    blocks: Array.from({ length: 4 }, (_, block) =>
      Int32Array.from({ length: 8 }, (_, i) => (block * 17 + i * 13) % config.vocabSize),
    ),
    quantizers: tinyQuantizers(config, 3),
    memory: DEFAULT_MEMORY,
    seed: 1,
    kept: kept(folder),
    options: { samples: 4, steps: STEPS, learningRate: 1e-2, batchSize: 2 },
  };
  const losses: (number | null)[] = [];
  for await (const event of method.train(work) as AsyncGenerator<RunEvent>) {
    assert.equal(event.type, 'training-progress');
    if (event.type === 'training-progress') losses.push(event.loss);
    if (losses.length >= stopAfter) break;
  }
  return losses;
}

const trainedFile = (folder: string): Buffer => readFileSync(join(root, folder, 'model.safetensors'));

test('the divergence falls, and every weight has moved', async () => {
  const losses = await train('whole');
  assert.equal(losses.length, STEPS);
  assert.ok(losses.at(-1)! < 0.7 * losses[0]!, `${losses}`);
  assert.ok(!existsSync(join(root, 'whole', 'state.safetensors')));
  const tensors = kept('whole').trained(checkpoint.tensors);
  assert.ok(tensors);
  const trained = withWeights(checkpoint, tensors);
  assert.deepEqual([...trained.tensors.keys()], [...checkpoint.tensors.keys()]);
  assert.equal(trained.lmHead, trained.embedding, 'a tied output layer stays tied');
  assert.notEqual(await trained.hash(), await checkpoint.hash());
  assert.equal(kept('whole', 'another').trained(checkpoint.tensors), null);
});

test('stopped and started again, it ends in the same bits', async () => {
  // The state of the first step is written at once, later ones when time has paid for it.
  for (const stopAfter of [1, 2, 4]) {
    const folder = `stopped-${stopAfter}`;
    await train(folder, stopAfter);
    assert.ok(existsSync(join(root, folder, 'state.safetensors')));
    const rest = await train(folder);
    assert.ok(rest.length < STEPS, 'it goes on, not from the beginning');
    assert.deepEqual(trainedFile(folder), trainedFile('whole'));
  }
});

test('a damaged state counts as none', async () => {
  await train('damaged', 1);
  truncateSync(join(root, 'damaged', 'state.safetensors'), 4000);
  assert.equal((await train('damaged')).length, STEPS);
  assert.deepEqual(trainedFile('damaged'), trainedFile('whole'));
});

test('each pass sees every sequence once, in its own order', () => {
  const orderOf = batches(6, 4, 1);
  const seen = [1, 2, 3].flatMap(orderOf);
  const all = [0, 1, 2, 3, 4, 5];
  assert.deepEqual(seen.slice(0, 6).sort(), all);
  assert.deepEqual(seen.slice(6).sort(), all);
  assert.notDeepEqual(seen.slice(0, 6), seen.slice(6));
});
