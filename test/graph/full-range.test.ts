/** A symmetric grid of the full range against a loop of what compressed-tensors computes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeQuantize } from '../../src/engine/graph/fused/fake-quantize.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import type { Reals } from '../../src/engine/graph/program.ts';
import { ProgramCache, type ProgramKind } from '../../src/engine/graph/program-cache.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';

const [ROWS, WIDTH] = [7, 37];

const QUANTIZED: ProgramKind<{ readonly bits: number }, { readonly y: Reals }> = {
  name: 'full-range',
  build({ bits }) {
    const graph = new Graph();
    const grid = {
      bits,
      symmetric: true,
      fullRange: true,
      group: 0,
      clipRatio: 1,
      includeZero: true,
    } as const;
    return { graph, outputs: { y: fakeQuantize(graph.input('x', [ROWS, WIDTH]), grid) } };
  },
};

for (const bits of [2, 4, 8])
  test(`${bits} bits: the step is max|x| / (2^(b−1) − ½), and all codes are used`, async () => {
    const cache = new ProgramCache(await createRuntime({ kernels: 'auto', threads: 1 }));
    const program = await cache.get(QUANTIZED, { bits });
    const x = Float32Array.from({ length: ROWS * WIDTH }, (_, i) => Math.sin(1 + 1.7 * i) * (1 + (i % 5)));
    const { y } = await program.run({ x: float32([ROWS, WIDTH], x) });
    const middle = 2 ** (bits - 1);
    const codes = new Set<number>();
    for (let row = 0; row < ROWS; row++) {
      const own = [...x.subarray(row * WIDTH, (row + 1) * WIDTH)];
      const step = Math.max(...own.map(Math.abs)) / (middle - 0.5);
      for (const [i, value] of own.entries()) {
        const found = y.data[row * WIDTH + i]! / step;
        codes.add(Math.round(found));
        // Steps are off by a few units of float32 from the quotient, codes by none but next to a half.
        assert.ok(Math.abs(found - Math.round(found)) < 1e-4, `${found}`);
        const exact = Math.max(-middle, Math.min(middle - 1, value / step));
        assert.ok(Math.abs(found - exact) <= 0.5 + 1e-4, `${found} ${exact}`);
      }
    }
    assert.deepEqual([Math.min(...codes), Math.max(...codes)], [-middle, middle - 1]);
  });
