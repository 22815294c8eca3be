/** The Cayley step that production runs as a graph, against the float64 loops of helpers/cayley-reference.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Graph } from '../../src/engine/graph/graph.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { polarProjection } from '../../src/engine/rotation/orthogonal.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { cayleyExpression, cayleyStep } from '../../src/engine/transform/learning/cayley-sgd.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import { cayleyStepReference } from '../helpers/cayley-reference.ts';
import { KERNELS } from '../helpers/runtimes.ts';

const COUNT = 3;
const N = 12;
const FLOAT32_EPSILON = 2 ** -23;

function gaussians(count: number, rng: Rng): Float64Array {
  return Float64Array.from({ length: count }, () => rng.normal());
}

function problem() {
  const rng = new Rng(5);
  return {
    rotations: Array.from({ length: COUNT }, () => haarRotation(N, rng)),
    gradients: Array.from({ length: COUNT }, () => gaussians(N * N, rng)),
  };
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)));
}

// A small rate takes the schedule's step, a large one runs into the cap 1/‖W‖₁.
for (const rate of [0.01, 10]) {
  test(`the graph takes the reference's step in float64, learning rate ${rate}`, async () => {
    const { rotations, gradients } = problem();
    const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
    const graph = new Graph('float64');
    const program = await Program.compile(runtime, graph, cayleyExpression(graph, [COUNT, N, N]));
    const stack = (parts: Float64Array[]): HostTensor => ({
      kind: 'host',
      dtype: 'float64',
      dims: [COUNT, N, N],
      data: Float64Array.from(parts.flatMap((part) => [...part])),
    });
    const out = await program.run({
      p: stack(rotations),
      g: stack(gradients),
      rate: { kind: 'host', dtype: 'float64', dims: [], data: Float64Array.of(rate) },
    });
    for (let i = 0; i < COUNT; i++) {
      const expected = cayleyStepReference(rotations[i]!, gradients[i]!, N, rate);
      const next = (out.next!.data as Float64Array).subarray(i * N * N, (i + 1) * N * N);
      // The reference ends a drifting step in the polar projection; production does so outside of the graph.
      const found = expected.projected ? polarProjection(next, N) : next;
      assert.ok(largestDifference(found, expected.rotation) < 1e-12);
      assert.ok(Math.abs((out.cap!.data[i] as number) - expected.stepCap) < 1e-14);
      assert.equal(expected.alpha < rate, rate === 10, 'one rate is capped, the other is not');
    }
    program.release();
    runtime.close();
  });
}

for (const kernels of KERNELS) {
  test(`in float32 the step stays within rounding of the reference (${kernels} kernels)`, async () => {
    const { rotations, gradients } = problem();
    const runtime = await createRuntime({ kernels, threads: 1 });
    const cache = new ProgramCache(runtime);
    const float = (parts: Float64Array[]) => parts.map((part) => Float32Array.from(part));
    const { matrices, caps, orthogonalityError } = await cayleyStep(
      cache,
      float(rotations),
      float(gradients),
      0.05,
    );
    // About 20 products of length N in a row, each with a relative error of ε·√N on entries of at most one.
    const bound = 20 * Math.sqrt(N) * FLOAT32_EPSILON;
    for (let i = 0; i < COUNT; i++) {
      const expected = cayleyStepReference(rotations[i]!, gradients[i]!, N, 0.05);
      assert.ok(largestDifference(matrices[i]!, expected.rotation) < bound);
      assert.ok(Math.abs(caps[i]! - expected.stepCap) < bound);
    }
    assert.ok(orthogonalityError < 1e-5);
    await cache.release();
    runtime.close();
  });
}
