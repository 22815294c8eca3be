/** QuIP# over a whole golden network: its errors, its files, and what goes on after it was stopped. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { MethodOptions } from '../../src/config/index.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { method } from '../../src/engine/methods/quip.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { RoundedLayers } from '../../src/engine/rounding/rounded-layers.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { RoundingEvent, RunEvent } from '../../src/protocol/events.ts';
import { differentWindows, rotatedNetwork } from '../helpers/golden-network.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { UNREAD } from '../helpers/unread-networks.ts';
import { goldenFolder } from '../model/goldens.ts';

const OPTIONS: MethodOptions<'quip'> = { samples: 8, damping: 0.01, sweeps: 2, scale: null, seed: 3 };

async function bench(t: TestContext, kernels: (typeof KERNELS)[number], options = OPTIONS, bits = 4) {
  const runtime = await createRuntime({ threads: 1, kernels });
  const cache = new ProgramCache(runtime);
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const weights = { bits, symmetric: true, group: 0, clipSearch: false };
  const quantizers = { ...FULL_PRECISION, weights };
  const { network } = rotatedNetwork(cache, checkpoint, { mode: 'merged', quantizers, denseWeights: true });
  const folder = await mkdtemp(join(tmpdir(), 'quip-test-'));
  t.after(async () => {
    await cache.release();
    runtime.close();
    await rm(folder, { recursive: true });
  });
  const blocks = differentWindows(checkpoint.config, 8, 24);
  const layers = new RoundedLayers(folder, 'key', { dense: true });
  const run = () => method.round!.run({ cache, network, ...UNREAD, blocks, layers, options, grids: null });
  return { run, folder, layers, count: checkpoint.config.layers };
}

async function collect(events: AsyncGenerator<RunEvent, void>): Promise<RoundingEvent[]> {
  const found: RoundingEvent[] = [];
  for await (const event of events) if (event.type === 'rounding') found.push(event);
  return found;
}

/** The native operators where there are any. */
const BEST = KERNELS.at(-1)!;

const meanError = (events: readonly RoundingEvent[]): number => {
  const errors = events.flatMap((event) => event.errors.map(({ error }) => error));
  return errors.reduce((sum, error) => sum + error, 0) / errors.length;
};

test('fewer bits cost more, and what a weight takes is told', async (t) => {
  const means: number[] = [];
  for (const bits of [4, 2]) {
    const { run, layers, count } = await bench(t, BEST, OPTIONS, bits);
    const events = await collect(run());
    assert.ok(layers.isComplete(count));
    means.push(meanError(events));
    for (const { method: name, bitsPerWeight = 0 } of events) {
      assert.equal(name, 'quip');
      // Signs of both sides and a unit for each of the small matrices come on top.
      assert.ok(bitsPerWeight > bits && bitsPerWeight < bits + 0.5, `${bitsPerWeight}`);
    }
    assert.deepEqual(layers.record(0)?.bitsPerWeight, events[0]?.bitsPerWeight);
  }
  const [four, two] = means as [number, number];
  assert.ok(0 < four && four < two && two < 0.25, `${means}`);
});

test('stopped between layers, it goes on to the same weights; another seed draws other signs', async (t) => {
  const whole = await bench(t, BEST);
  await collect(whole.run());
  const stopped = await bench(t, BEST);
  for await (const event of stopped.run()) if (event.type === 'rounding') break;
  assert.deepEqual(await readdir(stopped.folder), ['layer-0000.safetensors']);
  await collect(stopped.run());
  for (let layer = 0; layer < whole.count; layer++)
    assert.deepEqual(stopped.layers.read(layer), whole.layers.read(layer));
  const other = await bench(t, BEST, { ...OPTIONS, seed: 4 });
  for await (const event of other.run()) if (event.type === 'rounding') break;
  assert.notDeepEqual(other.layers.read(0), whole.layers.read(0));
});

test('loops without native operators round as well', async (t) => {
  const { run, layers, count } = await bench(t, 'composed', { ...OPTIONS, sweeps: 0 });
  assert.ok(meanError(await collect(run())) < 0.05);
  assert.ok(layers.isComplete(count));
});
