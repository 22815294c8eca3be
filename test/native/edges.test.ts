/** What the loops of odd-calls.test.ts cannot see: the right numbers at the edges, and refusals inside a session. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { ProbeTensor } from '../../src/engine/runtime/addon.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { DType, HostTensor } from '../../src/protocol/tensor.ts';
import { build } from './graphs.ts';
import type { NodeSpec } from './onnx-model.ts';
import { addon, assertClose, assertSameBits, notBuilt, random, runOperator } from './support.ts';

const native = addon && (await createRuntime({ kernels: 'native', threads: 2 }));
after(() => native?.close());

const floats = (dims: readonly number[], seed = 1): ProbeTensor & { data: Float32Array } => {
  const count = dims.reduce((a, b) => a * b, 1);
  return { data: random(count, seed), dims };
};
const everySet = () => ['reference', ...addon!.instructionSets()];

test('Hadamard of order 1: M is read where it is [1, 1] and refused in any other shape', {
  skip: notBuilt,
}, () => {
  const x = floats([3, 4]);
  const call = (m: ProbeTensor | null, set: string) =>
    runOperator({ name: 'Hadamard', attributes: { block: 4 }, inputs: [x, m], outputs: [12] }, set)[0]!;
  for (const set of everySet()) {
    const minus = call({ data: Float32Array.of(-1), dims: [1, 1] }, set);
    assertSameBits(
      minus,
      call(null, set).map((value) => -value),
      set,
    );
    for (const dims of [[0], [0, 0], [1], [2, 2]])
      assert.throws(() => call(floats(dims), set), /input M must be \[1, 1\], found \[/);
  }
});

test('factors of a matrix of one column go with its rows', { skip: notBuilt }, () => {
  const [m, k] = [3, 40];
  const other = floats([m, k], 2);
  const scales = { data: random(k, 3).map((value) => Math.abs(value) + 0.1), dims: [k] };
  const codes = { data: Int8Array.from({ length: k }, (_, i) => (i % 15) - 7), dims: [k, 1] };
  const expected = Float32Array.from({ length: m }, (_, row) =>
    codes.data.reduce((sum, code, i) => sum + other.data[row * k + i]! * code * scales.data[i]!, 0),
  );
  // Two pieces are off by 2^-16 of each product, of at most 8.
  const tolerance = () => k * 8 * 2 ** -15;
  const column = { data: Float32Array.from(codes.data, (code, i) => code * scales.data[i]!), dims: [k, 1] };
  for (const set of everySet()) {
    const attributes = { codesOfB: 1, pieces: 3 };
    const inputs = [codes, scales, other];
    const [product] = runOperator({ name: 'CodeGemm', attributes, inputs, outputs: [m] }, set);
    assertClose(product!, expected, tolerance, `CodeGemm ${set}`);
    const split = { attributes: { unitsOfB: 1, pieces: 3 }, inputs: [other, column, scales], outputs: [m] };
    assertClose(
      runOperator({ name: 'SplitGemm', ...split }, set)[0]!,
      expected,
      tolerance,
      `SplitGemm ${set}`,
    );
  }
});

test('an attention window that holds every key is none, however large', { skip: notBuilt }, () => {
  const inputs = [floats([1, 6, 8]), floats([1, 6, 8], 2), floats([1, 6, 8], 3), null];
  const outputs = [48, 6];
  for (const set of everySet()) {
    const of = (window: number) =>
      runOperator({ name: 'CausalAttention', attributes: { rows: 6, window }, inputs, outputs }, set);
    const [whole] = of(0);
    for (const window of [6, 7, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 53])
      assertSameBits(of(window)[0]!, whole!, `${set}, window ${window}`);
    assert.notDeepEqual(of(5)[0], whole);
  }
});

test('FakeQuantizeRows: a row too small for a scale has the scale 0', { skip: notBuilt }, () => {
  const x = { data: new Float32Array(5).fill(1e-45), dims: [1, 5] };
  const attributes = { bits: 8, symmetric: 0, include_zero: 1 };
  for (const set of everySet()) {
    const operation = { name: 'FakeQuantizeRows', attributes, inputs: [x], outputs: [5, 1] };
    const [y, scales] = runOperator(operation, set);
    assertSameBits(y!, x.data, set);
    assertSameBits(scales!, Float32Array.of(0), set);
  }
});

test('TokenLoss: without a vocabulary every token is left out, and its loss is 0', { skip: notBuilt }, () => {
  const labels = { data: BigInt64Array.of(-1n, -1n), dims: [2] };
  for (const set of everySet()) {
    const inputs = [floats([2, 0]), labels];
    assertSameBits(
      runOperator({ name: 'TokenLoss', attributes: {}, inputs, outputs: [2] }, set)[0]!,
      new Float32Array(2),
      set,
    );
  }
});

/** Runs one of our operators on host tensors in a session. */
async function runNode(
  node: Omit<NodeSpec, 'domain' | 'outputs'>,
  tensors: Readonly<Record<string, HostTensor>>,
  result: readonly number[],
): Promise<HostTensor> {
  const inputs = Object.entries(tensors).map(([name, { dtype, dims }]) => ({ name, dtype, dims }));
  const nodes = [{ ...node, domain: 'spinquant', outputs: ['y'] }];
  const session = await build(native!, nodes, inputs, [{ name: 'y', dims: result }]);
  try {
    return (await session.run(tensors, ['y'])).y!;
  } finally {
    session.release();
  }
}

const host = (dims: readonly number[], dtype: DType = 'float32'): HostTensor => ({
  kind: 'host',
  dtype,
  ...floats(dims),
});

test('in a session, an empty tensor is not taken for an absent one', { skip: notBuilt }, async () => {
  const node = { op: 'Hadamard', inputs: ['x', 'm'], attributes: { block: 4 } };
  const tensors = { x: host([3, 4]), m: host([0, 0]) };
  await assert.rejects(
    runNode(node, tensors, [3, 4]),
    /spinquant::Hadamard: input M must be \[1, 1\], found \[0, 0\]/,
  );
  const { dims, data } = await runNode({ ...node, inputs: ['x'] }, { x: host([0, 4]) }, [0, 4]);
  assert.deepEqual([dims, data.length], [[0, 4], 0]);
});

test('in a session, an input that is left out is refused where it is needed', {
  skip: notBuilt,
}, async () => {
  const node = { op: 'SwiGlu', inputs: ['', 'x'] };
  await assert.rejects(
    runNode(node, { x: host([2, 3]) }, [2, 3]),
    /input 0 is marked single but has an empty string/,
  );
});

test('an attribute of the wrong type is refused, not ignored', { skip: notBuilt }, async () => {
  const x = host([2, 4]);
  await assert.rejects(
    runNode({ op: 'Hadamard', inputs: ['x'], attributes: { block: 4, scale: 2 } }, { x }, [2, 4]),
    /spinquant::Hadamard: attribute scale must be a float, found an integer/,
  );
  await assert.rejects(
    runNode({ op: 'FakeQuantize', inputs: ['x'], attributes: { bits: 4 }, floats: ['bits'] }, { x }, [2, 4]),
    /spinquant::FakeQuantize: attribute bits must be an integer, found a float/,
  );
});
