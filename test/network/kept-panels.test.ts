/** Packed weights that are kept: mapped ones give the bits of those that were packed just now, and nothing is made again. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Decoder } from '../../src/engine/generate/decoder.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { Network } from '../../src/engine/network/network.ts';
import type { RoundedSource } from '../../src/engine/network/rounded-weights.ts';
import { roundWeights } from '../../src/engine/rounding/gptq/round-weights.ts';
import { PanelFiles } from '../../src/engine/rounding/panel-files.ts';
import { RoundedLayers } from '../../src/engine/rounding/rounded-layers.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { deployedGolden, type Setting } from '../helpers/deployed-golden.ts';
import { differentWindows } from '../helpers/golden-network.ts';
import { PLAIN_GPTQ } from '../helpers/gptq-options.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';

const skip = KERNELS.includes('native') ? false : 'the native operators are not built';

let runtime: Runtime;
let folder: string;
before(async () => {
  runtime = await createRuntime({ threads: 1 });
  folder = await mkdtemp(join(tmpdir(), 'panels-'));
});
after(async () => {
  runtime.close();
  await rm(folder, { recursive: true });
});

const store = (name: string): PanelFiles =>
  new PanelFiles(join(folder, name), { key: async () => name, check: () => undefined });

/** Logits of a text read as a prompt, and of two tokens behind it; the output layer in 8 bits. */
async function logits(network: Network, ids: Int32Array): Promise<Float32Array[]> {
  network.setHeadBits(8);
  const decoder = new Decoder(network, 1, ids.length);
  const [prompt, ...tokens] = [ids.subarray(0, -2), ids.subarray(-2, -1), ids.subarray(-1)];
  const found: Float32Array[] = [];
  for (const part of [prompt!, ...tokens]) found.push((await decoder.next(part)).data.slice());
  return found;
}

/** A network on a cache of its own, which is let go. */
async function logitsOf(
  checkpoint: Checkpoint,
  setting: Setting,
  { rounded, kept }: { readonly rounded?: RoundedSource | undefined; readonly kept?: PanelFiles },
): Promise<Float32Array[]> {
  const cache = new ProgramCache(runtime);
  const network = deployedGolden(cache, checkpoint, setting, { integer: 'always', rounded });
  if (kept) network.keepPanels(kept);
  const found = await logits(network, Int32Array.from(readGolden('llama').ids).subarray(0, 8));
  await cache.release();
  return found;
}

const SETTINGS: readonly Setting[] = [
  { activations: 8, cache: 16, online: false },
  { activations: 4, cache: 4, online: true, weights: { symmetric: false, clip: true } },
];

for (const name of GOLDEN_NAMES)
  test(`${name}: kept weights, rounded by the network, give the same bits`, { skip }, async () => {
    const checkpoint = await openCheckpoint(goldenFolder(name));
    for (const [i, setting] of SETTINGS.entries()) {
      const part = `${name}-${i}`;
      const expected = await logitsOf(checkpoint, setting, {});
      assert.deepEqual(await logitsOf(checkpoint, setting, { kept: store(part) }), expected);
      const files = await readdir(join(folder, part));
      assert.equal(files.length, checkpoint.config.layers + 1);
      assert.deepEqual(await logitsOf(checkpoint, setting, { kept: store(part) }), expected);
    }
  });

/** Weights rounded by GPTQ, in their files. */
async function roundedLayers(checkpoint: Checkpoint, setting: Setting): Promise<RoundedLayers> {
  const cache = new ProgramCache(runtime);
  const layers = new RoundedLayers(await mkdtemp(join(folder, 'gptq-')), 'test');
  const network = deployedGolden(cache, checkpoint, { ...setting, activations: 16, cache: 16 });
  const blocks = differentWindows(checkpoint.config, 4, 24);
  for await (const _ of roundWeights(cache, { network, blocks, layers, options: PLAIN_GPTQ }));
  await cache.release();
  return layers;
}

test('weights of a method are neither read nor packed where their panels are kept', { skip }, async () => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const setting = SETTINGS[0]!;
  const layers = await roundedLayers(checkpoint, setting);
  const expected = await logitsOf(checkpoint, setting, { rounded: layers });
  assert.deepEqual(
    await logitsOf(checkpoint, setting, { rounded: layers, kept: store('rounded-kept') }),
    expected,
  );
  const gone: RoundedSource = {
    read: () => {
      throw new Error('its weights are kept');
    },
  };
  assert.deepEqual(
    await logitsOf(checkpoint, setting, { rounded: gone, kept: store('rounded-kept') }),
    expected,
  );
});

test('other maps have panels of their own: those of before are not taken', { skip }, async () => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const cache = new ProgramCache(runtime);
  const network = deployedGolden(cache, checkpoint, SETTINGS[0]!, { integer: 'always' });
  network.keepPanels(store('llama-maps'));
  const ids = Int32Array.from(readGolden('llama').ids).subarray(0, 8);
  const expected = await logits(network, ids);
  const r1 = new Float32Array(checkpoint.config.hiddenSize ** 2);
  for (let i = 0; i < checkpoint.config.hiddenSize; i++) r1[i * checkpoint.config.hiddenSize + i] = 1;
  const value = Array.from({ length: checkpoint.config.layers }, () => {
    const { headDim } = checkpoint.config;
    return Float32Array.from({ length: headDim ** 2 }, (_, i) => (i % (headDim + 1) === 0 ? 1 : 0));
  });
  network.setMaps({ residual: [r1], value });
  const changed = await logits(network, ids);
  assert.notDeepEqual(changed, expected);
  assert.equal((await readdir(join(folder, 'llama-maps'))).length, checkpoint.config.layers + 1);
  await cache.release();
});
