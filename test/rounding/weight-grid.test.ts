/** The grid that GPTQ rounds on is that of rounding to nearest: without error feedback the two agree. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quantizeWithRatio, weightGrid } from '../../src/engine/graph/fused/weight-quantize.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { preparedTensors } from '../../src/engine/network/rounded-weights.ts';
import { roundInLoops } from '../../src/engine/rounding/gptq/round-in-loops.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise } from '../helpers/tiny-network.ts';

const [ROWS, COLUMNS] = [7, 24];

/** Rows of noise, one of zeros, one of a single value and one that zero lies outside of. */
function weights(): Float32Array {
  const random = noise(5);
  const w = Float32Array.from({ length: ROWS * COLUMNS }, () => random() ** 3);
  w.fill(0, 0, COLUMNS);
  w.fill(0.3, COLUMNS, 2 * COLUMNS);
  for (let i = 2 * COLUMNS; i < 3 * COLUMNS; i++) w[i] = 2 + w[i]!;
  return w;
}

for (const kernels of KERNELS)
  for (const symmetric of [true, false])
    for (const group of [0, 8])
      for (const bits of [2, 4, 8])
        test(`${kernels}: ${bits} bits, ${symmetric ? 'symmetric' : 'asymmetric'}, group ${group}`, async () => {
          const quantizer = { bits, symmetric, group, clipSearch: bits === 4 };
          const graph = new Graph();
          const w = graph.input('w', [ROWS, COLUMNS]);
          const [nearest, ratio] = quantizeWithRatio(w, quantizer, null);
          const runtime = await createRuntime({ threads: 1, kernels });
          const program = await Program.compile(runtime, graph, {
            nearest,
            ...weightGrid(w, ratio, quantizer),
          });
          const data = weights();
          const found = await program.run({ w: float32([ROWS, COLUMNS], data) });
          const identity = new Float32Array(COLUMNS ** 2);
          for (let i = 0; i < COLUMNS; i++) identity[i * COLUMNS + i] = 1;
          const grid = { scale: found.scale!.data as Float32Array, zero: found.zero!.data as Float32Array };
          const size = { rows: ROWS, columns: COLUMNS };
          const codes = await roundInLoops({ w: data, bits, ...size, ...grid }, identity);
          const prepared = preparedTensors('q', { ...size, codes, ...grid }, false)['q.prepared']!;
          // Codes have no zero below zero.
          const wanted = (found.nearest!.data as Float32Array).map((value) => value + 0);
          assert.deepEqual(
            (prepared.data as Float32Array).map((value) => value + 0),
            wanted,
          );
          program.release();
          runtime.close();
        });
