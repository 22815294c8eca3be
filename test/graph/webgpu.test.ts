/** Tests what stands in for operators that WebGPU has not, on the processor, where both can be run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tokenLoss } from '../../src/engine/graph/fused/token-loss.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { composeAll } from '../../src/engine/graph/lower/composed.ts';
import { forWebGpu } from '../../src/engine/graph/lower/webgpu.ts';
import { round, sign } from '../../src/engine/graph/ops/elementwise.ts';
import { Program, type Tensors } from '../../src/engine/graph/program.ts';
import { rebuild } from '../../src/engine/graph/rebuild.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32, type HostTensor, int64 } from '../../src/protocol/tensor.ts';
import { noise, randomTensor } from '../helpers/tiny-network.ts';

/** A graph's output `y` as it is and rewritten, and the operators that the rewritten one is made of. */
async function bothWays(graph: Graph, y: Value, tensors: Tensors, rewritten: Tensors = tensors) {
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  const run = async (of: Graph, output: Value, given: Tensors): Promise<number[]> => {
    const program = await Program.compile(runtime, of, { y: output });
    const out: HostTensor = (await program.run(given)).y!;
    program.release();
    // −0 and 0 are both zero.
    return Array.from(out.data, Number).map((value) => value + 0);
  };
  const composed = rebuild(graph, { y }, composeAll);
  const other = rebuild(composed.graph, composed.outputs, forWebGpu, undefined, (dtype) =>
    dtype === 'int64' ? 'int32' : dtype,
  );
  const result = {
    plain: await run(graph, y, tensors),
    webgpu: await run(other.graph, other.outputs.y!, rewritten),
    operators: new Set(other.graph.nodes.map(({ op }) => op.name)),
    comparesInt64: other.graph.nodes.some(
      ({ op, inputs }) => /Equal|Less/.test(op.name) && inputs.some(({ dtype }) => dtype === 'int64'),
    ),
  };
  runtime.close();
  return result;
}

/** float32 numbers next to x: so many in each direction. */
function around(x: number, count: number): number[] {
  const bits = new Int32Array(Float32Array.of(x).buffer)[0]!;
  return Array.from({ length: 2 * count + 1 }, (_, i) => {
    return new Float32Array(Int32Array.of(bits + i - count).buffer)[0]!;
  });
}

test('rounding to even without Round is exact at ties, beside them, and where float32 has no fractions', async () => {
  const ties = Array.from({ length: 41 }, (_, i) => i - 20.5);
  const large = [2 ** 22 + 0.5, 2 ** 22 + 1.5, 2 ** 23 - 0.5, 2 ** 23 + 1, 2 ** 24 + 2, 1e10, 3e38];
  const values = [
    ...[...ties, ...large].flatMap((x) => [...around(x, 3), ...around(-x, 3)]),
    ...[0, -0, 1e-10, -1e-10, 1e-45, -1e-45, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
    ...Array.from(randomTensor([4000], noise(1), 40).data),
  ].filter((x) => !Number.isNaN(x));
  const x = float32([values.length], Float32Array.from(values));
  const graph = new Graph();
  const { plain, webgpu, operators } = await bothWays(graph, round(graph.input('x', x.dims)), { x });
  assert.ok(!operators.has('Round'));
  assert.ok(plain.some((value, i) => value !== values[i]));
  plain.forEach((expected, i) => {
    assert.equal(webgpu[i], expected, `round(${values[i]})`);
  });
});

test('signs without Sign', async () => {
  const values = [-3, -1e-45, -0, 0, 1e-45, 0.5, 3e38, Number.NEGATIVE_INFINITY];
  const x = float32([values.length], Float32Array.from(values));
  const graph = new Graph();
  const { plain, webgpu, operators } = await bothWays(graph, sign(graph.input('x', x.dims)), { x });
  assert.ok(!operators.has('Sign'));
  assert.deepEqual(plain, [-1, -1, 0, 0, 1, 1, 1, -1]);
  assert.deepEqual(webgpu, plain);
});

test('the loss takes labels as int32 and compares no int64', async () => {
  const graph = new Graph();
  const y = tokenLoss(graph.input('logits', [4, 9]), graph.input('labels', [4], 'int64'));
  const logits = randomTensor([4, 9], noise(2), 4);
  const labels = [3, -1, 0, 8];
  const narrow: HostTensor = { kind: 'host', dtype: 'int32', dims: [4], data: Int32Array.from(labels) };
  const { plain, webgpu, comparesInt64 } = await bothWays(
    graph,
    y,
    { logits, labels: int64([4], BigInt64Array.from(labels, BigInt)) },
    { logits, labels: narrow },
  );
  assert.ok(!comparesInt64);
  assert.equal(plain[1], 0);
  assert.deepEqual(webgpu, plain);
});
