import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../../src/engine/autodiff/gradients.ts';
import { fakeQuantize } from '../../src/engine/graph/fused/fake-quantize.ts';
import { hadamard } from '../../src/engine/graph/fused/hadamard.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { gemm } from '../../src/engine/graph/ops/matmul.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { quantizeRotated, quantizeTransformed } from '../../src/engine/network/rotated-quantizer.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { polarProjection } from '../../src/engine/rotation/orthogonal.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import { noise } from '../helpers/tiny-network.ts';

const FOUR_BITS = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true };

/** x̂, ∂x and ∂R in float64. */
async function derivatives(tokens: number, width: number, form: (x: Value, r: Value) => Value) {
  const graph = new Graph('float64');
  const [x, r] = [graph.input('x', [tokens, width]), graph.input('r', [width, width])];
  const y = form(x, r);
  const [dx, dr] = gradients([[y, graph.input('g', y.dims)]], [x, r]);
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  const program = await Program.compile(runtime, graph, { y, dx: dx!, dr: dr! });
  const random = noise(5);
  const draw = (rows: number): HostTensor<Float64Array> => ({
    kind: 'host',
    dtype: 'float64',
    dims: [rows, width],
    data: Float64Array.from({ length: rows * width }, () => random()),
  });
  const tensors = { x: draw(tokens), r: draw(width), g: draw(tokens) };
  tensors.r.data.set(polarProjection(tensors.r.data, width));
  const found = await program.run(tensors);
  runtime.close();
  return found;
}

type Found = Awaited<ReturnType<typeof derivatives>>;

function assertAgree(short: Found, long: Found): void {
  for (const name of ['y', 'dx', 'dr']) {
    const expected = long[name]!.data as Float64Array;
    // Sums of up to 12·12 products of order one in float64, and the projection's own error.
    (short[name]!.data as Float64Array).forEach((value, i) => {
      assert.ok(Math.abs(value - expected[i]!) < 1e-13, `${name}[${i}]: ${value} and ${expected[i]}`);
    });
  }
}

for (const [tokens, width] of [
  [6, 9],
  [9, 6],
] as const)
  test(`rounding in another basis has the derivative of its parts, ${tokens} tokens of ${width} channels`, async () => {
    const short = await derivatives(tokens, width, (x, r) => quantizeRotated(x, r, FOUR_BITS));
    const long = await derivatives(tokens, width, (x, r) =>
      gemm(fakeQuantize(gemm(x, r), FOUR_BITS), r, { transB: true }),
    );
    assertAgree(short, long);
    assert.ok((short.dr!.data as Float64Array).some((value) => Math.abs(value) > 0.1));
  });

test('rounding behind a Hadamard transform has the derivative of its parts', async () => {
  const plan = planHadamard(12);
  const short = await derivatives(5, 12, (x, r) =>
    quantizeTransformed(gemm(x, r), { kind: 'hadamard', transform: plan }, FOUR_BITS),
  );
  const long = await derivatives(5, 12, (x, r) =>
    hadamard(fakeQuantize(hadamard(gemm(x, r), plan), FOUR_BITS), plan, true),
  );
  assertAgree(short, long);
});
