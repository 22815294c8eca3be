/** FlatQuant on whole networks: what it learns helps, survives a stop to the same bits, and is what is deployed. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { evaluateExperiment } from '../../src/engine/index.ts';
import { method } from '../../src/engine/methods/flatquant.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { LearnedLayers, type LearnedSizes } from '../../src/engine/network/learned-grids.ts';
import { Network } from '../../src/engine/network/network.ts';
import type { SeamState } from '../../src/engine/network/seams.ts';
import { kroneckerPrice } from '../../src/engine/plan/kronecker-price.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';
import { differentWindows } from '../helpers/golden-network.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { tinyQuantizers } from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';

const OPTIONS = {
  ...{ samples: 3, epochs: 2, learningRate: 0.005, clipLearningRate: 0.05 },
  ...{ alpha: 0.3, seed: 1 },
};

async function bench(t: TestContext) {
  const runtime = await createRuntime({ threads: 1, kernels: KERNELS.at(-1)! });
  const cache = new ProgramCache(runtime);
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const { config } = checkpoint;
  const options = { mode: 'merged', centreEmbedding: false } as const;
  const exact = new Network(cache, checkpoint, { ...options, maps: {}, quantizers: FULL_PRECISION });
  const { maps } = method;
  const quantized = new Network(cache, checkpoint, {
    ...options,
    maps,
    quantizers: tinyQuantizers(config, 4),
  });
  const folder = await mkdtemp(join(tmpdir(), 'flatquant-test-'));
  t.after(async () => {
    await cache.release();
    runtime.close();
    await rm(folder, { recursive: true });
  });
  const run = (name: string, signal?: AbortSignal) => {
    const work = {
      ...{ cache, network: exact, maps: {}, state: {}, options: OPTIONS },
      blocks: differentWindows(config, 3, 16),
      merged: () => ({ exact, quantized }),
      added: method.maps,
      learning: () => quantized,
      training: () => Promise.reject(new Error('nothing is learned through the network')),
      quantizer: quantized.options.quantizers.weights,
      scratch: async () => folder,
      clipped: () => ['attention-input', 'key'] as const,
      kept: async (sizes: LearnedSizes) => new LearnedLayers(join(folder, name), 'key', sizes),
    };
    const running = method.scale(work, signal);
    assert.ok(Symbol.asyncIterator in running);
    return running;
  };
  const file = (name: string, layer: number) => join(folder, name, `layer-000${layer}.safetensors`);
  return { run, file, layers: config.layers };
}

test('what was learned before a stop is kept, and the rest is learned to the same bits', async (t) => {
  const { run, file, layers } = await bench(t);
  assert.ok(layers > 1);
  const whole = await collect<SeamState>(run('whole'));
  assert.equal(whole.result['up-down']?.length, layers);
  const controller = new AbortController();
  await assert.rejects(async () => {
    // The last event of the first layer: the layer is still written, and nothing begins behind it.
    for await (const event of run('stopped', controller.signal))
      if (event.type === 'rounding-progress' && event.done >= 1 / layers) controller.abort();
  }, Cancelled);
  assert.ok(existsSync(file('stopped', 0)) && !existsSync(file('stopped', layers - 1)));
  assert.deepEqual((await collect<SeamState>(run('stopped'))).result, whole.result);
  for (let layer = 0; layer < layers; layer++)
    assert.deepEqual(await readFile(file('stopped', layer)), await readFile(file('whole', layer)));
  assert.deepEqual((await collect<SeamState>(run('whole'))).events, [], 'nothing is learned twice');
});

const folder = demoFolder();

for (const r1 of ['none', 'hadamard'] as const)
  test(`it lowers the perplexity of rounding, also with R1 ${r1}, and leaves the full-precision network alone`, async () => {
    const rotation = { r1, r2: 'none', r3: false, r4: false } as const;
    const measure = async (name: 'none' | 'flatquant') => {
      const short = await shortExperiment(folder, { rotation, weights: { method: 'rtn' } });
      const flatquant = { ...OPTIONS, samples: 9, epochs: 3 };
      const experiment = { ...short, scaling: { ...short.scaling, method: name, flatquant } };
      const { events, result } = await collect(evaluateExperiment(experiment, { variants: ['quantized'] }));
      return { events, perplexity: result.perplexity[0]!.quantized! };
    };
    const [without, learned] = [await measure('none'), await measure('flatquant')];
    assert.ok(learned.perplexity < without.perplexity, `${learned.perplexity}, ${without.perplexity}`);
    const preserved = learned.events.find((event) => event.type === 'preservation');
    assert.ok(preserved?.type === 'preservation' && preserved.relative <= preserved.tolerance);
  });

test('the price is that of two products for each map, beside the linear layers', async () => {
  const { config } = await openCheckpoint(goldenFolder('llama'));
  const { hiddenSize: d, intermediateSize: f, heads, kvHeads, headDim } = config;
  const price = kroneckerPrice(method.maps, config)!;
  const operations = price.factors.map(({ readers, sizes: [n1, n2] }) => {
    assert.equal(n1 * n2, readers === 'down' ? f : d);
    return 2 * n1 * n1 * n2 + 2 * n1 * n2 * n2;
  });
  const linear = 2 * (2 * d * heads * headDim + 2 * d * kvHeads * headDim + 3 * d * f);
  assert.equal(price.share, operations.reduce((sum, one) => sum + one) / linear);
  assert.equal(kroneckerPrice({}, config), null);
});
