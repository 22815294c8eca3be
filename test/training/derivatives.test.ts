/**
 * The derivative of LLM-QAT's loss by every weight of a whole network, straight through all quantizers, against central
 * finite differences in float64. Quantizers are frozen at the base point (helpers/frozen-quantizers.ts).
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Graph, Value } from '../../src/engine/graph/graph.ts';
import { type OutputValues, Program, type Tensors } from '../../src/engine/graph/program.ts';
import { ropeTables } from '../../src/engine/model/rope.ts';
import { type EndsShape, hiddenExpression } from '../../src/engine/network/ends-programs.ts';
import { layerExpression, prepareExpression } from '../../src/engine/network/layer-programs.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { divergenceExpression } from '../../src/engine/training/divergence.ts';
import {
  gradientOf,
  hiddenDerivatives,
  layerDerivatives,
  weightDerivatives,
} from '../../src/engine/training/programs.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import { FrozenRunner, freeze } from '../helpers/frozen-quantizers.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import {
  layerTypes,
  noise,
  randomLayer,
  randomTensor,
  TINY_CONFIG,
  tinyQuantizers,
  tinyShape,
} from '../helpers/tiny-network.ts';

const config = TINY_CONFIG;
const { hiddenSize: D, headDim: H, vocabSize: V, layers: L } = config;
const TOKENS = 10;
const BATCH = 2;
// Keys without their bias: it acts twice, and its derivative is that of one.
const quantizers = { ...tinyQuantizers(config, 4), keyOffset: 'bias' } as const;
const shape = { ...tinyShape(quantizers), maps: NO_MAPS };
const types = layerTypes(config);
const ends: EndsShape = {
  ...{ config, tokens: TOKENS, mapped: false, centreEmbedding: false },
  ...{ embeddingType: 'float32', headType: 'float32', normType: 'float32' },
};
const loss = { tokens: TOKENS, width: D, vocabulary: V, teacherType: 'float64', batch: BATCH } as const;
let runtime: Runtime;

before(async () => {
  runtime = await createRuntime({ kernels: KERNELS.at(-1)!, threads: 1 });
});
after(() => runtime.close());

const compile = (graph: Graph, outputs: Record<string, Value | null>) =>
  Program.compile(runtime, graph, outputs as OutputValues<Record<string, HostTensor>>);
const numbers = (tensor: HostTensor | undefined): Float64Array => tensor?.data as Float64Array;

function double(dims: readonly number[], values: ArrayLike<number>): HostTensor<Float64Array> {
  return { kind: 'host', dtype: 'float64', dims, data: Float64Array.from(values) };
}

/** Weights in float64; layers declare theirs as float32, which programs in float64 convert. */
function model() {
  const random = noise(11);
  const wide = (dims: readonly number[]) => double(dims, randomTensor(dims, random).data);
  return {
    layers: Array.from({ length: L }, () => randomLayer(config, random)),
    head: wide([V, D]),
    finalNorm: randomTensor([D], random),
    x: wide([TOKENS, D]),
    teacherHead: wide([V, D]),
    teacherHidden: wide([TOKENS, D]),
  };
}

type Model = ReturnType<typeof model>;

async function forwardPass(parts: Model) {
  const tables = ropeTables(config, shape.sequence);
  const rows = [shape.sequence, H / 2];
  const angles = { cos: double(rows, tables.cos), sin: double(rows, tables.sin) };
  const prepare = prepareExpression({ shape, types, ratios: 'inside' }, 'float64');
  const layer = layerExpression(shape, types, 'merged', false, 'float64');
  const last = hiddenExpression(ends, 'float64');
  const { graph, divergence } = divergenceExpression(loss, 'float64');
  const frozen = async (g: Graph, outputs: Record<string, Value>) =>
    new FrozenRunner(await freeze(runtime, g, outputs, false));
  const runners = {
    prepare: await frozen(prepare.graph, prepare.outputs),
    layer: await frozen(layer.graph, { y: layer.y }),
    hidden: await frozen(last.graph, { hidden: last.y }),
    divergence: await frozen(graph, { divergence }),
  };
  return async () => {
    const boundaries: HostTensor[] = [parts.x];
    const weights: Tensors[] = [];
    for (const [i, own] of parts.layers.entries()) {
      weights.push({ ...angles, ...own, ...(await runners.prepare.run(`${i}`, own)) });
      const out = await runners.layer.run(`${i}`, { ...weights[i], x: boundaries[i]! });
      boundaries.push(out.y!);
    }
    const { finalNorm, head, teacherHead, teacherHidden } = parts;
    const hidden = (await runners.hidden.run('', { x: boundaries[L]!, finalNorm })).hidden!;
    const out = await runners.divergence.run('', { hidden, head, teacherHead, teacherHidden });
    const value = numbers(out.divergence).reduce((sum, one) => sum + one, 0) / BATCH;
    return { value, boundaries, weights, hidden };
  };
}

type Pass = Awaited<ReturnType<Awaited<ReturnType<typeof forwardPass>>>>;

/** The derivatives by the graphs that the product runs, in float64, by layer and name. */
async function analytic(parts: Model, { boundaries, weights, hidden }: Pass) {
  const { finalNorm, head, teacherHead, teacherHidden } = parts;
  const { graph, divergence: _, ...outputs } = divergenceExpression(loss, 'float64');
  const top = await (await compile(graph, outputs)).run({ hidden, head, teacherHead, teacherHidden });
  const last = hiddenDerivatives(ends, 'float64');
  const end = await (await compile(last.graph, last.outputs)).run({
    ...{ x: boundaries[L]!, finalNorm, dy: top.dhidden! },
  });
  const layer = layerDerivatives({ shape, types }, 'float64');
  const backward = await compile(layer.graph, layer.outputs);
  const byWeight = weightDerivatives({ shape, types, ratios: 'inside' }, 'float64');
  const through = await compile(byWeight.graph, byWeight.outputs);
  const ofLayers: Record<string, HostTensor>[] = [];
  let dy = end[gradientOf('x')]!;
  for (let i = L - 1; i >= 0; i--) {
    const found = await backward.run({ ...weights[i], x: boundaries[i]!, dy });
    dy = found[gradientOf('x')]!;
    ofLayers[i] = { ...found, ...(await through.run({ ...parts.layers[i], ...found })) };
  }
  return { head: top.dhead!, finalNorm: end[gradientOf('finalNorm')]!, x: dy, layers: ofLayers };
}

test('the divergence by the embedding, every weight, gain and bias, and the output layer', async () => {
  const parts = model();
  const pass = await forwardPass(parts);
  const found = await analytic(parts, await pass());
  const pairs: [string, HostTensor, HostTensor][] = [
    ['x', parts.x, found.x],
    ['head', parts.head, found.head],
    ['finalNorm', parts.finalNorm, found.finalNorm],
    ...parts.layers.flatMap((own, i) =>
      Object.entries(own).map(([name, tensor]): [string, HostTensor, HostTensor] => [
        `${name} ${i}`,
        tensor,
        found.layers[i]![gradientOf(name)]!,
      ]),
    ),
  ];
  assert.equal(pairs.length, 3 + L * Object.keys(types).length);
  const random = noise(5);
  for (const [name, weight, gradient] of pairs) {
    assert.ok(gradient, `${name} has a derivative`);
    const [data, slope] = [weight.data as Float32Array | Float64Array, numbers(gradient)];
    const largest = slope.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    // Keys that all move alike change no softmax: what is left of it is RoPE.
    assert.ok(largest > (name.startsWith('kBias') ? 1e-5 : 1e-3), `${name}: ${largest} must not vanish`);
    for (let trial = 0; trial < 4; trial++) {
      const i = Math.floor(Math.abs(random()) * data.length);
      const kept = data[i]!;
      // A power of two that float32 adds to weights of order one without rounding beyond 2^-24 of them.
      const step = 2 ** -12;
      data[i] = kept + step;
      const [above, high] = [data[i]!, (await pass()).value];
      data[i] = kept - step;
      const [below, low] = [data[i]!, (await pass()).value];
      data[i] = kept;
      const measured = (high - low) / (above - below);
      // Central differences err by step²·|f‴|/6: third derivatives of this network are of order 100.
      assert.ok(
        Math.abs(measured - slope[i]!) < 1e-6 * Math.max(1, largest),
        `${name}[${i}]: ${slope[i]} against ${measured}`,
      );
    }
  }
});
