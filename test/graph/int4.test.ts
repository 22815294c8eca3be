/** A rounded weight is packed by one program and multiplied by another, with and without our kernels. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ActivationQuantizer, fakeQuantize } from '../../src/engine/graph/fused/fake-quantize.ts';
import { int4MatMul, packInt4, quantizesForInt4 } from '../../src/engine/graph/fused/int4-matmul.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { type GridMatrix, multiples } from '../../src/engine/network/rounded-weights.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { float32, type HostTensor } from '../../src/protocol/tensor.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise } from '../helpers/tiny-network.ts';

const [TOKENS, ROWS, COLUMNS, GROUPS] = [7, 21, 96, 3];
const quantizer: ActivationQuantizer = {
  bits: 8,
  symmetric: false,
  group: 0,
  clipRatio: 0.95,
  includeZero: true,
};

/** A weight as `rounded/` holds it: unsigned codes with a zero point per row and group. */
function roundedWeight(): GridMatrix {
  const random = noise(4);
  const numbers = (count: number) => Float32Array.from({ length: count }, random);
  const within = (value: number) => Math.min(15, Math.max(0, Math.round(value * 8 + 8)));
  return {
    rows: ROWS,
    columns: COLUMNS,
    codes: Int8Array.from(numbers(ROWS * COLUMNS), within),
    scale: numbers(ROWS * GROUPS).map((value) => 0.01 + Math.abs(value) / 16),
    zero: numbers(ROWS * GROUPS).map(within),
  };
}

async function run(
  runtime: Runtime,
  inputs: Readonly<Record<string, HostTensor>>,
  build: (values: Readonly<Record<string, Value>>) => Record<string, Value>,
): Promise<Record<string, HostTensor>> {
  const graph = new Graph();
  const values = Object.fromEntries(
    Object.entries(inputs).map(([name, { dims, dtype }]) => [name, graph.input(name, dims, dtype)]),
  );
  const program = await Program.compile(runtime, graph, build(values));
  const outputs = await program.run(inputs);
  program.release();
  return outputs;
}

/** Q(x) Ŵᵀ and Σ |x̂| |ŵ|, both in double precision. */
function product(rounded: Float32Array, weight: Float32Array, at: number): [value: number, size: number] {
  const [token, row] = [Math.floor(at / ROWS), at % ROWS];
  let [value, size] = [0, 0];
  for (let i = 0; i < COLUMNS; i++) {
    const term = rounded[token * COLUMNS + i]! * weight[row * COLUMNS + i]!;
    value += term;
    size += Math.abs(term);
  }
  return [value, size];
}

for (const kernels of KERNELS)
  test(`a rounded weight is packed once, then multiplied (${kernels})`, async () => {
    const runtime = await createRuntime({ kernels, threads: 2 });
    try {
      const matrix = roundedWeight();
      const random = noise(9);
      const x = float32([TOKENS, COLUMNS], Float32Array.from({ length: TOKENS * COLUMNS }, random));
      const codes: HostTensor = { kind: 'host', dtype: 'int8', dims: [ROWS, COLUMNS], data: matrix.codes };
      const perGroup = (data: Float32Array) => float32([ROWS, GROUPS], data);
      const given = { codes, scales: perGroup(matrix.scale), zeros: perGroup(matrix.zero) };
      let attributes = {};
      const packed = await run(runtime, given, ({ codes, scales, zeros }) => {
        const weight = packInt4({ codes: codes!, scales: scales!, zeros: zeros! });
        attributes = weight.attributes;
        return { bytes: weight.bytes, grid: weight.grid };
      });
      const { bytes, grid } = packed as { bytes: HostTensor; grid: HostTensor };
      assert.equal(bytes.dtype, 'int8');
      const { y, rounded } = await run(runtime, { x, bytes, grid }, ({ x, bytes, grid }) => ({
        y: int4MatMul(x!, { bytes: bytes!, grid: grid!, attributes }, quantizer),
        rounded: fakeQuantize(x!, quantizer),
      }));
      const weight = multiples(matrix);
      (y!.data as Float32Array).forEach((value, at) => {
        const [expected, size] = product(rounded!.data as Float32Array, weight, at);
        const sum = weight
          .subarray((at % ROWS) * COLUMNS, ((at % ROWS) + 1) * COLUMNS)
          .reduce((total, w) => total + Math.abs(w), 0);
        // Natively 8 roundings of at most the range 2 times 1.1 Σ |ŵ| (test/native/int4-matmul.test.ts), composed up to
        // 96 + 3 of the sum of sizes; x̂ and ŵ have two more.
        const allowed = 2 ** -24 * (8 * 2.2 * sum + (COLUMNS + 5) * size);
        assert.ok(
          Math.abs(value - expected) <= allowed,
          `${at}: ${value}, expected ${expected} ± ${allowed}`,
        );
      });
    } finally {
      runtime.close();
    }
  });

test('quantizers of up to 8 bits go with packed weights, of whole rows and of groups that divide them', () => {
  const allows = (change: Partial<ActivationQuantizer>) => quantizesForInt4({ ...quantizer, ...change }, 64);
  assert.ok(allows({}));
  assert.ok(allows({ bits: 4, symmetric: true, includeZero: false }));
  assert.ok(allows({ group: 64 }));
  assert.ok(allows({ group: 32, includeZero: false }));
  assert.ok(!allows({ group: 24 }));
  assert.ok(!allows({ bits: 16 }));
});
