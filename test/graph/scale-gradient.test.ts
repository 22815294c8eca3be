/** The derivative through the scale of an activation quantizer, against central finite differences in float64. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gradients } from '../../src/engine/autodiff/gradients.ts';
import { type ActivationQuantizer, fakeQuantize } from '../../src/engine/graph/fused/fake-quantize.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { mul } from '../../src/engine/graph/ops/elementwise.ts';
import { reduceSum } from '../../src/engine/graph/ops/reduce.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import { FrozenRunner, freeze } from '../helpers/frozen-quantizers.ts';
import { noise } from '../helpers/tiny-network.ts';

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ kernels: 'composed', threads: 1 });
});
after(() => runtime.close());

const TOKEN: ActivationQuantizer = {
  bits: 4,
  symmetric: false,
  group: 0,
  clipRatio: 1,
  includeZero: true,
  scaleGradient: true,
};

const double = (dims: readonly number[], numbers: readonly number[]): HostTensor<Float64Array> => ({
  kind: 'host',
  dtype: 'float64',
  dims,
  data: Float64Array.from(numbers),
});

/** ∂(Σ w·Q(x))/∂x. */
async function gradientOf(
  quantizer: ActivationQuantizer,
  x: HostTensor<Float64Array>,
  weight: HostTensor<Float64Array>,
): Promise<Float64Array> {
  const graph = new Graph('float64');
  const input = graph.input('x', x.dims);
  const [dx] = gradients([[fakeQuantize(input, quantizer), graph.input('weight', x.dims)]], [input]);
  const program = await Program.compile(runtime, graph, { dx: dx! });
  const out = await program.run({ x, weight });
  program.release();
  return out.dx!.data as Float64Array;
}

const [ROWS, WIDTH] = [3, 16];
/** Rows from these ranges: both signs, all above 0, all below. */
const RANGES = [
  [-1, 1],
  [0.2, 1],
  [-1, -0.2],
] as const;

const CASES: Record<string, ActivationQuantizer> = {
  'asymmetric, zero inside': TOKEN,
  'asymmetric, zero outside': { ...TOKEN, includeZero: false },
  'asymmetric, groups, clipped': { ...TOKEN, group: 8, includeZero: false, clipRatio: 0.7 },
  'asymmetric, zero inside, clipped, 2 bits': { ...TOKEN, bits: 2, clipRatio: 0.8 },
  symmetric: { ...TOKEN, symmetric: true },
  'symmetric, groups, clipped': { ...TOKEN, symmetric: true, group: 4, clipRatio: 0.7 },
};

/** As in the other derivative tests: central differences err by ε|f|/e here, f being linear in pieces. */
const STEP = 1e-5;
const BOUND = 2e-9;

for (const [name, quantizer] of Object.entries(CASES)) {
  test(`∂ FakeQuantize through its scale: ${name}`, async (t) => {
    const random = noise(19);
    const dims = [ROWS, WIDTH];
    const draw = (at: (row: number) => readonly [number, number]) =>
      double(
        dims,
        Array.from({ length: ROWS * WIDTH }, (_, i) => {
          const [low, high] = at(Math.floor(i / WIDTH));
          return low + ((random() + 1) / 2) * (high - low);
        }),
      );
    const x = draw((row) => RANGES[row]!);
    const weight = draw(() => [-1, 1]);

    const graph = new Graph('float64');
    const y = fakeQuantize(graph.input('x', dims), quantizer);
    const loss = reduceSum(mul(y, graph.input('weight', dims)), [0, 1], false);
    const frozen = new FrozenRunner(await freeze(runtime, graph, { loss }, true));
    const lossAt = async () => (await frozen.run('', { x, weight })).loss!.data[0] as number;
    await lossAt();

    const analytic = await gradientOf(quantizer, x, weight);
    let worst = 0;
    let beyondIdentity = 0;
    for (let i = 0; i < x.data.length; i++) {
      const kept = x.data[i]!;
      x.data[i] = kept + STEP;
      const above = await lossAt();
      x.data[i] = kept - STEP;
      const below = await lossAt();
      x.data[i] = kept;
      worst = Math.max(worst, Math.abs((above - below) / (2 * STEP) - analytic[i]!));
      beyondIdentity = Math.max(beyondIdentity, Math.abs(analytic[i]! - weight.data[i]!));
    }
    t.diagnostic(
      `largest difference ${worst.toExponential(1)}, from the identity ${beyondIdentity.toFixed(3)}`,
    );
    assert.ok(worst < BOUND, `differs by ${worst}`);
    assert.ok(beyondIdentity > 1e-3, 'the scale must have a derivative');
  });
}

test('without the attribute, and at 16 bits, the derivative is the identity', async () => {
  const x = double([1, 4], [0.3, -0.6, 1, -1]);
  const weight = double([1, 4], [1, 2, 3, 4]);
  const { scaleGradient: _, ...detached } = TOKEN;
  for (const quantizer of [detached, { ...TOKEN, scaleGradient: false }]) {
    assert.deepEqual(await gradientOf(quantizer, x, weight), weight.data);
  }
  assert.notDeepEqual(await gradientOf(TOKEN, x, weight), weight.data);
  const graph = new Graph();
  const input = graph.input('x', [1, 4]);
  assert.equal(fakeQuantize(input, { ...TOKEN, bits: 16 }), input);
});

test('the first of equal ends takes the derivative; one value and zero have none', async () => {
  const two = { ...TOKEN, bits: 2, includeZero: false };
  // Scale 1 and zero point 0: y = [0, 3, 0, 3, 1, 1], so D = 0.25·(w₄ − w₅) and D/range = ±D/3 at elements 1 and 0.
  const ties = double([1, 6], [0, 3, 0, 3, 0.75, 1.25]);
  const weight = double([1, 6], [1, 1, 1, 1, 13, 1]);
  assert.deepEqual(Array.from(await gradientOf(two, ties, weight)), [0, 2, 1, 1, 13, 1]);
  const signs = double([1, 6], [0.75, -3, 3, -0.75, -3, 0]);
  const symmetric = { ...TOKEN, bits: 2, symmetric: true };
  const w = double([1, 6], [5, 1, 1, 1, 1, 1]);
  // Scale 3: y = [0, −3, 3, 0, −3, 0], D = 5·(0 − 0.75) + (0 + 0.75) = −3, and D/x = 1 at the first |x| = 3.
  assert.deepEqual(Array.from(await gradientOf(symmetric, signs, w)), [5, 2, 1, 1, 1, 1]);
  const flat = double([3, 3], [0, 0, 0, 0.7, 0.7, 0.7, -0.2, -0.2, -0.2]);
  const any = double([3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual(await gradientOf({ ...TOKEN, includeZero: false }, flat, any), any.data);
  const zeros = double([1, 3], [0, 0, 0]);
  const ones = double([1, 3], [1, 2, 3]);
  for (const symmetric of [true, false]) {
    assert.deepEqual(await gradientOf({ ...TOKEN, symmetric }, zeros, ones), ones.data);
  }
});
