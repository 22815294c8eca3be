/** The graph of a layer that decodes with packed weights and codes in its cache: few operators, the bits of many. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Int4MatMul } from '../../src/engine/graph/fused/int4-matmul.ts';
import { apply, type Graph, type Value } from '../../src/engine/graph/graph.ts';
import { composeHelpers } from '../../src/engine/graph/lower/composed.ts';
import { lower } from '../../src/engine/graph/lower/index.ts';
import { encodeModel } from '../../src/engine/graph/onnx.ts';
import { type Rewrite, rebuild } from '../../src/engine/graph/rebuild.ts';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import { DECODE } from '../../src/engine/network/layer-programs.ts';
import type { LayerShape } from '../../src/engine/network/layer-shape.ts';
import { spinQuantMaps } from '../../src/engine/network/seams.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { allocate, elementCount, type HostTensor } from '../../src/protocol/tensor.ts';
import { layerDims, noise, TINY_CONFIG } from '../helpers/tiny-network.ts';
import { notBuilt } from '../native/support.ts';

const native = notBuilt ? null : await createRuntime({ kernels: 'native', threads: 2 });
after(() => native?.close());

const CONFIG: ModelConfig = {
  ...TINY_CONFIG,
  ...{ hiddenSize: 40, intermediateSize: 24, heads: 6, kvHeads: 2, headDim: 12 },
};

const activation = (bits: number, group = 0) => ({
  ...{ bits, symmetric: false, group, clipRatio: 1, includeZero: true },
});

function shapeOf(batch: number, sequence: number, withR3: boolean): LayerShape {
  const { headDim, intermediateSize } = CONFIG;
  const r3 = withR3 ? planHadamard(headDim) : null;
  return {
    ...{ batch, sequence, capacity: 20, config: CONFIG, window: null, weightForm: 'packed' },
    quantizers: {
      weights: { bits: 4, symmetric: true, group: 0, clipSearch: false },
      ...{ input: activation(8), outputInput: activation(4, headDim), downInput: activation(8) },
      ...{ keys: activation(4), values: { ...activation(8), includeZero: false } },
    },
    maps: spinQuantMaps({ r1: false, r2: false, r3, r4: planHadamard(intermediateSize) }),
  };
}

/** @param full with biases and the norms of heads. */
function decodeGraph(shape: LayerShape, full: boolean): { graph: Graph; outputs: Record<string, Value> } {
  const dims = Object.entries(layerDims(CONFIG)).filter(([name]) => full || !/Bias$|^[qk]Norm$/.test(name));
  const types = Object.fromEntries(dims.map(([name, dims]) => [name, { dtype: 'float32', dims }] as const));
  const { graph, outputs } = DECODE.build(
    { shape, types, mode: 'merged' },
    {
      ...{ ownKernels: true, bfloat16Products: false, roundedProducts: false },
      ...{ wholeProducts: true, floatProducts: true },
    },
  );
  const wanted = Object.entries(outputs).flatMap(([name, value]) => (value ? [[name, value] as const] : []));
  return { graph, outputs: Object.fromEntries(wanted) };
}

const namesOf = (graph: Graph): string[] => graph.nodes.map(({ op }) => op.name);

/** Weights, codes and numbers below 1, but for the tokens in the cache. */
function inputsOf(graph: Graph): Record<string, HostTensor> {
  const random = noise(7);
  return Object.fromEntries(
    graph.inputs.map(({ inputName, dtype, dims }) => {
      const data = allocate(dtype, elementCount(dims));
      for (let i = 0; i < data.length; i++) {
        if (data instanceof BigInt64Array) data[i] = 7n;
        else data[i] = dtype === 'int8' ? Math.round(random() * 127) : random();
      }
      return [inputName!, { kind: 'host', dtype, dims, data } as HostTensor];
    }),
  );
}

async function run(graph: Graph, outputs: Record<string, Value>, tensors: Record<string, HostTensor>) {
  const specs = Object.fromEntries(
    Object.entries(outputs).map(([name, { dtype, dims }]) => [name, { dtype, dims }]),
  );
  const session = await native!.createSession(encodeModel(graph, outputs), specs);
  const feed = Object.fromEntries(graph.inputs.map(({ inputName }) => [inputName!, tensors[inputName!]!]));
  const results = await session.run(feed, Object.keys(specs));
  session.release();
  return results;
}

/** Every weight with a product of its own. */
const alone: Rewrite = (node, inputs) => {
  if (node.op !== Int4MatMul) return null;
  const [x, ...weights] = inputs as [Value, ...Value[]];
  const { rows2 = 0, rows3 = 0, ...shared } = node.attributes;
  return [shared.rows!, rows2, rows3]
    .filter((rows) => rows !== 0)
    .map((rows, i) => apply(Int4MatMul, [x, ...weights.slice(2 * i, 2 * i + 2)], { ...shared, rows }));
};

test('a layer that decodes is eight operators', { skip: notBuilt }, () => {
  for (const [batch, sequence] of [
    [1, 1],
    [2, 3],
  ] as const) {
    const { graph, outputs } = decodeGraph(shapeOf(batch, sequence, true), false);
    assert.deepEqual(namesOf(lower(native!, graph, outputs, {}).graph).sort(), [
      ...['Int4MatMul', 'Int4MatMul', 'Int4MatMulAdd', 'PackCache', 'PackCache', 'PackedAttention'],
      ...['RotaryHeads', 'SwiGluInt4MatMul'],
    ]);
  }
});

test('their results are those of the operators in turn, to the bit', { skip: notBuilt }, async () => {
  for (const [batch, sequence, withR3, full] of [
    [1, 1, true, false],
    [2, 3, true, false],
    [2, 18, false, true],
    [1, 5, true, true],
  ] as const) {
    const { graph, outputs } = decodeGraph(shapeOf(batch, sequence, withR3), full);
    const separate = rebuild(
      graph,
      outputs,
      (node, inputs) => composeHelpers(node, inputs) ?? alone(node, inputs),
    );
    const joined = lower(native!, graph, outputs, {});
    assert.ok(namesOf(joined.graph).length < namesOf(separate.graph).length);
    const tensors = inputsOf(graph);
    const expected = await run(separate.graph, separate.outputs, tensors);
    const found = await run(joined.graph, joined.outputs, tensors);
    for (const [name, { data }] of Object.entries(expected))
      assert.deepEqual(found[name]!.data, data, `${name} of ${[batch, sequence, withR3, full]}`);
    assert.ok((expected.y!.data as Float32Array).every(Number.isFinite));
  }
});
