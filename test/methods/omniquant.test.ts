/** OmniQuant on whole networks: what it learns helps, survives a stop to the same bits, and is what is deployed. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { evaluateExperiment } from '../../src/engine/index.ts';
import { method } from '../../src/engine/methods/omniquant.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { LearnedLayers } from '../../src/engine/network/learned-grids.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS, type SeamState, spinQuantMaps, spinQuantState } from '../../src/engine/network/seams.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { drawRotations } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { collect, demoFolder, shortExperiment } from '../helpers/demo-runs.ts';
import { differentWindows } from '../helpers/golden-network.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { tinyQuantizers } from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';

const learns = method.learns!;
const OPTIONS = {
  ...{ samples: 4, epochs: 2, clipLearningRate: 0.01, scaleLearningRate: 0.005 },
  ...{ alpha: 0.5, seed: 1 },
};

async function bench(t: TestContext, maps = NO_MAPS, state: SeamState = {}) {
  const runtime = await createRuntime({ threads: 1, kernels: KERNELS.at(-1)! });
  const cache = new ProgramCache(runtime);
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const { config } = checkpoint;
  const quantizers = tinyQuantizers(config, 4);
  const options = { maps, centreEmbedding: false } as const;
  const plain = new Network(cache, checkpoint, { ...options, mode: 'plain', quantizers: FULL_PRECISION });
  const quantized = new Network(cache, checkpoint, { ...options, mode: 'merged', quantizers });
  quantized.setMaps(state);
  const networks = { plain, quantized, place: { config, quantizers, maps } };
  const folder = await mkdtemp(join(tmpdir(), 'omniquant-test-'));
  t.after(async () => {
    await cache.release();
    runtime.close();
    await rm(folder, { recursive: true });
  });
  const blocks = differentWindows(config, 4, 16);
  const run = (name: string, signal?: AbortSignal) => {
    const layers = new LearnedLayers(join(folder, name), 'key', learns.sizes(networks));
    return learns.learn({ cache, ...networks, blocks, layers, options: OPTIONS }, signal);
  };
  const file = (name: string, layer: number) => join(folder, name, `layer-000${layer}.safetensors`);
  return { run, file, layers: config.layers };
}

/** The last loss of each layer: the clock decides how many come before it. */
function lossesOf(events: readonly RunEvent[]): number[] {
  const last: number[] = [];
  for (const event of events)
    if (event.type === 'rounding-progress') last[event.layersDone] = event.loss ?? Number.NaN;
  return last;
}

test('what was learned before a stop is kept, the rest is learned to the same bits, also beside damage', async (t) => {
  const { run, file, layers } = await bench(t);
  assert.ok(layers > 1);
  const whole = await collect(run('whole'));
  assert.equal(whole.result.clips.length, layers);
  assert.equal(whole.result.state['attention-norm']?.length, layers);
  assert.ok(lossesOf(whole.events).every((loss) => Number.isFinite(loss) && loss > 0));

  const controller = new AbortController();
  await assert.rejects(async () => {
    // The last event of the first layer: the layer is still written, and nothing begins behind it.
    for await (const event of run('stopped', controller.signal))
      if (event.type === 'rounding-progress' && event.done >= 1 / layers) controller.abort();
  }, Cancelled);
  assert.ok(existsSync(file('stopped', 0)) && !existsSync(file('stopped', layers - 1)));
  assert.deepEqual((await collect(run('stopped'))).result, whole.result);

  const bytes = await readFile(file('stopped', layers - 1));
  await writeFile(file('stopped', layers - 1), bytes.subarray(0, bytes.length - 5));
  assert.deepEqual((await collect(run('stopped'))).result, whole.result);
  for (let layer = 0; layer < layers; layer++)
    assert.deepEqual(await readFile(file('stopped', layer)), await readFile(file('whole', layer)));
  assert.deepEqual((await collect(run('whole'))).events, [], 'nothing is learned twice');
});

test('beside rotations it learns what they leave free, from the same full-precision outputs', async (t) => {
  const { config } = await openCheckpoint(goldenFolder('llama'));
  const { hiddenSize: hidden, headDim, layers, intermediateSize } = config;
  const { r1, r2 } = drawRotations({ hidden, headDim, layers }, { r1: 'random', r2: 'random' }, new Rng(2));
  const [r3, r4] = [planHadamard(headDim), planHadamard(intermediateSize)];
  const { run } = await bench(t, spinQuantMaps({ r1: true, r2: true, r3, r4 }), spinQuantState(r1, r2));
  const { events, result } = await collect(run('rotated'));
  assert.deepEqual(Object.keys(result.state), ['attention-norm', 'mlp-norm']);
  // The targets are rotated as the outputs are: with others the error would be as large as the residual itself.
  const losses = lossesOf(events);
  assert.equal(losses.length, layers);
  const plain = lossesOf((await collect((await bench(t)).run('plain'))).events);
  losses.forEach((loss, i) => {
    assert.ok(loss > plain[i]! / 10 && loss < plain[i]! * 10, `${loss}, ${plain[i]}`);
  });
});

test('scales stand where activations are rounded and no other map is', () => {
  const checks = { heads: 4, kvHeads: 4, qkNorm: false };
  const at = (config: object, bits: number, maps = NO_MAPS) => {
    const quantizers = { ...FULL_PRECISION, input: { ...FULL_PRECISION.input, bits } };
    quantizers.keys = quantizers.input;
    return Object.keys(learns.maps({ config: { ...checks, ...config } as never, quantizers, maps }));
  };
  assert.deepEqual(at({}, 16), []);
  assert.deepEqual(at({}, 4), ['attention-norm', 'mlp-norm', 'value', 'query-key']);
  assert.deepEqual(at({ kvHeads: 2 }, 4), ['attention-norm', 'mlp-norm', 'query-key']);
  assert.deepEqual(at({ qkNorm: true }, 4), ['attention-norm', 'mlp-norm', 'value']);
  assert.deepEqual(at({}, 4, { value: { kind: 'heads' } }), ['attention-norm', 'mlp-norm', 'query-key']);
});

const folder = demoFolder();

test('it lowers the perplexity of rounding, and its scales leave the full-precision network alone', async () => {
  const rotation = { r1: 'none', r2: 'none', r3: false, r4: false } as const;
  const measure = async (rounding: 'rtn' | 'omniquant') => {
    const omniquant = { ...OPTIONS, samples: 9, epochs: 4 };
    const weights = { method: rounding, omniquant } as const;
    const experiment = await shortExperiment(folder, { rotation, weights });
    const { events, result } = await collect(evaluateExperiment(experiment, { variants: ['quantized'] }));
    return { events, perplexity: result.perplexity[0]!.quantized! };
  };
  const [nearest, learned] = [await measure('rtn'), await measure('omniquant')];
  assert.ok(learned.perplexity < nearest.perplexity, `${learned.perplexity}, ${nearest.perplexity}`);
  const preserved = learned.events.find((event) => event.type === 'preservation');
  assert.ok(preserved?.type === 'preservation' && preserved.relative <= preserved.tolerance);
  const rounded = learned.events.filter((event) => event.type === 'rounding');
  assert.equal(rounded.length, 5);
  assert.ok(rounded.every(({ method: name, errors }) => name === 'omniquant' && errors.length === 7));
});
