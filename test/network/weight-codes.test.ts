import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scaledRows } from '../../src/engine/graph/fused/gemm-bfloat16.ts';
import {
  hasRowCodes,
  quantizeWithRatio,
  rowCodes,
  type WeightQuantizer,
} from '../../src/engine/graph/fused/weight-quantize.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { noise } from '../helpers/tiny-network.ts';

/** Rounded weights, and what their codes and scales stand for, on the same runtime. */
async function both(quantizer: WeightQuantizer) {
  const [rows, width] = [7, 40];
  const graph = new Graph();
  const w = graph.input('w', [rows, width]);
  const [rounded, ratio] = quantizeWithRatio(w, quantizer, null);
  const found = rowCodes(w, rounded, ratio, quantizer);
  const runtime = await createRuntime({ threads: 1 });
  const outputs = { rounded, codes: found.codes, restored: scaledRows(found) };
  const program = await Program.compile(runtime, graph, outputs);
  const random = noise(11);
  const data = Float32Array.from({ length: rows * width }, () => random() ** 3);
  // A row of zeros, and one below the smallest range.
  data.fill(0, 0, width);
  for (let i = 0; i < width; i++) data[width + i] = 1e-7 * random();
  return program.run({ w: float32([rows, width], data) });
}

for (const bits of [2, 4, 8])
  for (const clipSearch of [false, true])
    test(`codes stand for the rounded weights exactly: ${bits} bits, clip search ${clipSearch}`, async () => {
      const found = await both({ bits, symmetric: true, group: 0, clipSearch });
      assert.deepEqual(found.restored!.data, found.rounded!.data);
      const codes = Array.from(found.codes!.data as Uint16Array, bfloat16);
      assert.ok(codes.every((code) => Number.isInteger(code) && Math.abs(code) <= 2 ** (bits - 1)));
      assert.ok(new Set(codes).size > bits, 'the codes differ');
    });

test('groups, asymmetric grids and more than 8 bits have no codes of rows', () => {
  const quantizer = { bits: 4, symmetric: true, group: 0, clipSearch: false };
  assert.ok(hasRowCodes(quantizer));
  for (const change of [{ group: 8 }, { symmetric: false }, { bits: 16 }])
    assert.ok(!hasRowCodes({ ...quantizer, ...change }));
});

function bfloat16(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
}
