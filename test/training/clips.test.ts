/** Clip ratios that are learned: derivatives by every factor, what learning reaches, and that it goes on to the same bits. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gradients } from '../../src/engine/autodiff/gradients.ts';
import { mul } from '../../src/engine/graph/ops/elementwise.ts';
import { reduceSum } from '../../src/engine/graph/ops/reduce.ts';
import { Program, type Tensors } from '../../src/engine/graph/program.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { ropeTables } from '../../src/engine/model/rope.ts';
import { preparedName } from '../../src/engine/network/layer-inputs.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { clippedExpression, FACTORS, factorOf } from '../../src/engine/training/clips/layer.ts';
import {
  CLIP_LEARNING,
  type ClipTask,
  clipsOf,
  firstState,
  type LearningState,
  learnClips,
} from '../../src/engine/training/clips/learn.ts';
import { LINEARS } from '../../src/protocol/block.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import { atBase, freezeClips } from '../helpers/frozen-clip.ts';
import { differentWindows, rotatedNetwork } from '../helpers/golden-network.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import {
  layerTypes,
  noise,
  randomLayer,
  TINY_CONFIG,
  tinyQuantizers,
  tinyShape,
} from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ kernels: KERNELS.at(-1)!, threads: 1 });
});
after(() => runtime.close());

function double(dims: readonly number[], numbers: ArrayLike<number>): HostTensor<Float64Array> {
  return { kind: 'host', dtype: 'float64', dims, data: Float64Array.from(numbers) };
}

test('derivatives of a layer by its factors are those of finite differences', async () => {
  const quantizers = tinyQuantizers(TINY_CONFIG, 16);
  const shape = {
    ...tinyShape({ ...quantizers, downInput: { ...quantizers.downInput, symmetric: true } }),
    maps: NO_MAPS,
  };
  const { graph, factors, y } = clippedExpression({ shape, types: layerTypes(TINY_CONFIG) }, 'float64');
  const dy = graph.input('dy', y.dims);
  const frozen = await freezeClips(runtime, graph, { loss: reduceSum(mul(y, dy), [0, 1], false) });
  const [found] = gradients([[y, dy]], [factors]);
  const random = noise(3);
  const numbers = (count: number) => Float64Array.from({ length: count }, random);
  const { cos, sin } = ropeTables(TINY_CONFIG, shape.sequence);
  const layer = Object.entries(randomLayer(TINY_CONFIG, random)).map(([name, tensor]) => {
    const linear = LINEARS.find((one) => one === name);
    return linear ? [preparedName(linear), double(tensor.dims, tensor.data)] : [name, tensor];
  });
  const half = [shape.sequence, TINY_CONFIG.headDim / 2];
  const base: Tensors = {
    ...Object.fromEntries(layer),
    ...{ cos: double(half, cos), sin: double(half, sin) },
    x: double(y.dims, numbers(y.dim(0) * y.dim(1))),
    dy: double(y.dims, numbers(y.dim(0) * y.dim(1))),
  };
  const at = Float64Array.from({ length: FACTORS }, () => 0.85 + 0.1 * random());
  const withFactors = (values: Float64Array): Tensors => ({ ...base, factors: double([FACTORS], values) });
  const program = await Program.compile(runtime, graph, { found: found! });
  const exact = (await program.run(withFactors(at))).found!.data;
  const loss = await atBase(frozen, withFactors(at));
  const STEP = 1e-6;
  const unread = factorOf('down-input', 'lower');
  for (let i = 0; i < FACTORS; i++) {
    const moved = (by: number) =>
      loss(withFactors(at.map((value, other) => (other === i ? value + by : value))));
    const slope = ((await moved(STEP)) - (await moved(-STEP))) / (2 * STEP);
    // Losses near 100 are known to 1e-13, so slopes to 1e-7; curvature adds step² times numbers near 10⁴.
    assert.ok(Math.abs(slope - Number(exact[i])) <= 2e-6, `${i}: ${exact[i]} against ${slope}`);
    assert.equal(Number(exact[i]) === 0, i === unread, `${i}: ${exact[i]}`);
  }
});

/** 3 bits, nothing clipped, on one thread. Keys stay as they are, and values are clipped without being learned. */
async function taskOf(cache: ProgramCache): Promise<ClipTask> {
  const checkpoint = await openCheckpoint(goldenFolder('llama3-scaled-tied'));
  const { config } = checkpoint;
  const { network } = rotatedNetwork(cache, checkpoint, { mode: 'merged', quantizers: FULL_PRECISION });
  const four = tinyQuantizers(config, 16);
  const three = { bits: 3 } as const;
  const quantizers = {
    ...four,
    ...{ input: { ...four.input, ...three }, downInput: { ...four.downInput, ...three, symmetric: true } },
    ...{ keys: FULL_PRECISION.keys, values: { ...four.values, clipRatio: 0.9 } },
  };
  const sites = ['attention-input', 'mlp-input', 'down-input'] as const;
  return {
    cache,
    network,
    layers: Array.from({ length: config.layers }, () => ({ quantizers, sites })),
    blocks: differentWindows(config, 6, 24),
    seed: 1,
  };
}

async function learned(task: ClipTask, from: LearningState) {
  const [states, divergences] = [[from], [] as number[]];
  for await (const { state, divergence } of learnClips(task, from)) {
    states.push(state);
    divergences.push(divergence);
  }
  return { states, divergences };
}

test('the divergence falls, other sites stay, and learning goes on to the same bits', async () => {
  const cache = new ProgramCache(runtime);
  const task = await taskOf(cache);
  const { states, divergences } = await learned(task, firstState(task));
  assert.equal(divergences.length, CLIP_LEARNING.steps);
  const mean = (some: readonly number[]) => some.reduce((sum, value) => sum + value, 0) / some.length;
  assert.ok(mean(divergences.slice(-10)) < 0.95 * divergences[0]!, `${divergences}`);
  const last = states.at(-1)!;
  for (const layer of clipsOf(last, task)) {
    assert.deepEqual(Object.keys(layer), ['attention-input', 'mlp-input', 'down-input']);
    const [input, down] = [layer['attention-input'], layer['down-input']];
    assert.ok(typeof down === 'number' && down < 1 && down >= CLIP_LEARNING.smallest, `${down}`);
    assert.ok(typeof input === 'object' && input.upper !== input.lower);
  }
  for (const { factors } of last.layers) {
    assert.equal(factors[factorOf('value', 'upper')], 0.9);
    assert.equal(factors[factorOf('o-input', 'lower')], 1);
  }
  // As it lies in a file.
  const stopped = JSON.parse(JSON.stringify(states[CLIP_LEARNING.steps - 6])) as LearningState;
  assert.deepEqual((await learned(task, stopped)).states.at(-1), last);
  await cache.release();
});
