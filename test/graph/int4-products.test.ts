/** What stands around a product with packed weights joins it, to the same bits, unless it is read elsewhere. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { hadamard } from '../../src/engine/graph/fused/hadamard.ts';
import {
  int4MatMul,
  int4MatMuls,
  packedAttributes,
  packedDims,
} from '../../src/engine/graph/fused/int4-matmul.ts';
import { kronecker } from '../../src/engine/graph/fused/kronecker.ts';
import { rmsNorm } from '../../src/engine/graph/fused/rms-norm.ts';
import { swiGlu } from '../../src/engine/graph/fused/swiglu.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { lower } from '../../src/engine/graph/lower/index.ts';
import { add } from '../../src/engine/graph/ops/elementwise.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { allocate, elementCount, type HostTensor } from '../../src/protocol/tensor.ts';
import { noise } from '../helpers/tiny-network.ts';
import { notBuilt } from '../native/support.ts';

const native = notBuilt ? null : await createRuntime({ kernels: 'native', threads: 2 });
after(() => native?.close());

const [TOKENS, WIDTH, HIDDEN] = [5, 48, 96];
const EIGHT = { bits: 8, symmetric: false, group: 0, clipRatio: 1, includeZero: true };

function weight(graph: Graph, name: string, rows: number, columns: number) {
  const parts = { groups: 1, spans: 1, hasZeros: false };
  const { bytes, grid } = packedDims(rows, columns, parts);
  return {
    bytes: graph.input(`${name}.bytes`, bytes, 'int8'),
    grid: graph.input(`${name}.grid`, grid),
    attributes: packedAttributes(rows, columns, parts),
  };
}

/** The second half of a layer, with the values between its operators. */
function halfLayer(graph: Graph) {
  const x = graph.input('x', [TOKENS, WIDTH]);
  const normed = rmsNorm(x, 1e-5);
  const weights = ['gate', 'up'].map((name) => weight(graph, name, HIDDEN, WIDTH));
  const [gate, up] = int4MatMuls(normed, weights, EIGHT) as [Value, Value];
  const product = swiGlu(gate, up);
  const mixed = hadamard(product, planHadamard(HIDDEN));
  const down = int4MatMul(mixed, weight(graph, 'down', WIDTH, HIDDEN), EIGHT);
  return { y: add(x, down), between: { normed, product, mixed, down } };
}

const operators = (graph: Graph, outputs: Record<string, Value>): string[] =>
  lower(native!, graph, outputs, {}).graph.nodes.map(({ op }) => op.name);

async function run(graph: Graph, outputs: Record<string, Value>): Promise<Record<string, HostTensor>> {
  const program = await Program.compile(native!, graph, outputs);
  const random = noise(5);
  const tensors = graph.inputs.map(({ inputName, dtype, dims }): [string, HostTensor] => {
    const data = allocate(dtype, elementCount(dims));
    for (let i = 0; i < data.length; i++) data[i] = dtype === 'int8' ? Math.round(random() * 127) : random();
    return [inputName!, { kind: 'host', dtype, dims, data } as HostTensor];
  });
  const results = await program.run(Object.fromEntries(tensors));
  program.release();
  return results;
}

test('half a layer is two operators, with the bits of six', { skip: notBuilt }, async () => {
  const graph = new Graph();
  const { y, between } = halfLayer(graph);
  assert.deepEqual(operators(graph, { y }), ['Int4MatMul', 'SwiGluInt4MatMul']);
  // What is given out is computed apart.
  const apart = ['RmsNorm', 'Int4MatMul', 'SwiGlu', 'Hadamard', 'Int4MatMul', 'Add'];
  assert.deepEqual(operators(graph, { y, ...between }), apart);
  const [joined, expected] = [await run(graph, { y }), await run(graph, { y, ...between })];
  assert.ok((expected.y!.data as Float32Array).every(Number.isFinite));
  assert.deepEqual(joined.y!.data, expected.y!.data);
});

test('only what nothing else reads joins a product', { skip: notBuilt }, () => {
  const graph = new Graph();
  const { y, between } = halfLayer(graph);
  const { normed, product, mixed, down } = between;
  assert.deepEqual(operators(graph, { y, normed }), ['RmsNorm', 'Int4MatMul', 'SwiGluInt4MatMul']);
  assert.deepEqual(operators(graph, { y, product }), ['Int4MatMul', 'SwiGlu', 'Hadamard', 'Int4MatMulAdd']);
  assert.deepEqual(operators(graph, { y, mixed }), ['Int4MatMul', 'SwiGlu', 'Hadamard', 'Int4MatMulAdd']);
  assert.deepEqual(operators(graph, { y, down }), ['Int4MatMul', 'SwiGluInt4MatMul', 'Add']);
});

/** The second half of a layer with FlatQuant's maps. */
function mappedHalf(graph: Graph) {
  const x = graph.input('x', [TOKENS, WIDTH]);
  const mapOf = (value: Value, name: string, left: number): Value => {
    const n = value.dim(-1);
    return kronecker(value, graph.input(name, [n + left ** 2 + (n / left) ** 2]), left);
  };
  const normed = rmsNorm(x, 1e-5);
  const read = mapOf(normed, 'mlp.map', 6);
  const weights = ['gate', 'up'].map((name) => weight(graph, name, HIDDEN, WIDTH));
  const [gate, up] = int4MatMuls(read, weights, EIGHT) as [Value, Value];
  const product = swiGlu(gate, up);
  const mixed = mapOf(product, 'down.map', 8);
  const down = int4MatMul(mixed, weight(graph, 'down', WIDTH, HIDDEN), EIGHT);
  return { y: add(x, down), between: { normed, read, product, mixed, down } };
}

test('a Kronecker product joins the products that read it, to the same bits', {
  skip: notBuilt,
}, async () => {
  const graph = new Graph();
  const { y, between } = mappedHalf(graph);
  const { normed, read, product, mixed } = between;
  assert.deepEqual(operators(graph, { y }), ['KroneckerInt4MatMul', 'SwiGluKroneckerInt4MatMul']);
  assert.deepEqual(operators(graph, { y, normed, product }), [
    ...['RmsNorm', 'KroneckerInt4MatMul', 'SwiGlu'],
    ...['KroneckerInt4MatMul', 'Add'],
  ]);
  assert.deepEqual(operators(graph, { y, read, mixed }), [
    ...['RmsNorm', 'Kronecker', 'Int4MatMul', 'SwiGlu', 'Kronecker', 'Int4MatMulAdd'],
  ]);
  const [joined, expected] = [await run(graph, { y }), await run(graph, { y, ...between })];
  assert.ok((expected.y!.data as Float32Array).every(Number.isFinite));
  assert.deepEqual(joined.y!.data, expected.y!.data);
});

test('a product without a transform, and a row that is added to every token', { skip: notBuilt }, () => {
  const graph = new Graph();
  const [gate, up] = [graph.input('gate', [TOKENS, HIDDEN]), graph.input('up', [TOKENS, HIDDEN])];
  const down = int4MatMul(swiGlu(gate, up), weight(graph, 'down', WIDTH, HIDDEN), EIGHT);
  const residual = graph.input('x', [TOKENS, WIDTH]);
  assert.deepEqual(operators(graph, { y: add(down, residual) }), ['SwiGluInt4MatMul']);
  const bias = graph.input('bias', [1, WIDTH]);
  assert.deepEqual(operators(graph, { y: add(down, bias) }), ['SwiGluInt4MatMul', 'Add']);
});
