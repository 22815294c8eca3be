/** Objectives on the distribution of activations, LieAdam, and the learner made of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../../src/engine/autodiff/gradients.ts';
import type { CapturedRows } from '../../src/engine/calibration/reservoir.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { orthogonalityError } from '../../src/engine/rotation/orthogonal.ts';
import { Rng } from '../../src/engine/rotation/random.ts';
import { haarRotation } from '../../src/engine/rotation/random-rotation.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import {
  type DistributionOptions,
  learnFromActivations,
} from '../../src/engine/transform/learning/distribution-learner.ts';
import { newtonSchulz } from '../../src/engine/transform/learning/lie-adam.ts';
import {
  type DistributionObjective,
  distributionLoss,
} from '../../src/engine/transform/learning/objectives.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import { KERNELS } from '../helpers/runtimes.ts';

const OBJECTIVES: readonly DistributionObjective[] = ['peak', 'range', 'whip', 'kurtosis'];

/** Loops straight from the definitions. */
const REFERENCE: Record<DistributionObjective, (y: number[]) => number> = {
  peak(y) {
    const mean = average(y);
    const deviation = y.map((value) => Math.abs(value - mean));
    const weights = deviation.map((a) => Math.exp(a / 2));
    const total = weights.reduce((a, b) => a + b);
    return Math.sqrt(deviation.reduce((sum, a, i) => sum + ((weights[i]! / total) * a) ** 2, 0) + 1e-6);
  },
  range: (y) => (Math.max(...y) - Math.min(...y)) ** 2,
  whip: (y) => y.reduce((sum, value) => sum + Math.exp(-Math.abs(value)), 0),
  kurtosis(y) {
    const mean = average(y);
    const variance = average(y.map((value) => (value - mean) ** 2)) + 1e-6;
    return Math.abs(average(y.map((value) => (value - mean) ** 4)) / variance ** 2 - 1.8);
  },
};

function average(values: readonly number[]): number {
  return values.reduce((a, b) => a + b) / values.length;
}

function double(dims: readonly number[], data: Float64Array): HostTensor<Float64Array> {
  return { kind: 'host', dtype: 'float64', dims, data };
}

const JUDGED = OBJECTIVES.flatMap((objective) => [false, true].map((mirrored) => ({ objective, mirrored })));

for (const { objective, mirrored } of JUDGED) {
  const judged = (token: number[]) => (mirrored ? [...token, ...token.map((value) => -value)] : token);
  test(`${objective}${mirrored ? ' of a symmetric grid' : ''}: value by its definition, derivative by finite differences`, async () => {
    const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
    const graph = new Graph('float64');
    const dims = [1, 4, 6];
    const y = graph.input('y', dims);
    const loss = distributionLoss(y, objective, mirrored);
    const [dy] = gradients([[loss, graph.reals([1], [1])]], [y]);
    const program = await Program.compile(runtime, graph, { loss, dy: dy! });
    const rng = new Rng(3);
    const data = Float64Array.from({ length: 24 }, () => 2 * rng.normal());
    const lossAt = async () => (await program.run({ y: double(dims, data) })).loss!.data[0] as number;
    const tokens = [0, 1, 2, 3].map((t) => [...data.subarray(6 * t, 6 * t + 6)]);
    assert.ok(
      Math.abs((await lossAt()) - average(tokens.map((token) => REFERENCE[objective](judged(token))))) <
        1e-12,
    );
    const analytic = (await program.run({ y: double(dims, data) })).dy!.data as Float64Array;
    for (let i = 0; i < data.length; i++) {
      const kept = data[i]!;
      data[i] = kept + 1e-6;
      const above = await lossAt();
      data[i] = kept - 1e-6;
      const below = await lossAt();
      data[i] = kept;
      assert.ok(Math.abs((above - below) / 2e-6 - analytic[i]!) < 1e-7, `element ${i}`);
    }
    program.release();
    runtime.close();
  });
}

test('one Newton–Schulz pass takes an error of 0.04 per turn to rounding', async () => {
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  const graph = new Graph('float64');
  const n = 16;
  const program = await Program.compile(runtime, graph, { y: newtonSchulz(graph.input('x', [1, n, n])) });
  const rotation = haarRotation(n, new Rng(1));
  // R(I − S) with ‖S‖₂ = 0.04: singular values up to √(1 + 0.04²), an error of 0.0016 in YᵀY.
  const skew = new Float64Array(n * n);
  for (let i = 0; i < n; i += 2) {
    skew[i * n + i + 1] = 0.04;
    skew[(i + 1) * n + i] = -0.04;
  }
  const moved = Float64Array.from(rotation);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      for (let k = 0; k < n; k++)
        moved[i * n + j] = moved[i * n + j]! - rotation[i * n + k]! * skew[k * n + j]!;
    }
  }
  assert.ok(orthogonalityError(moved, n) > 1e-3);
  const out = await program.run({ x: double([1, n, n], moved) });
  // The pass leaves 5/8 of the cube of the error: 3e-9.
  assert.ok(orthogonalityError(out.y!.data as Float64Array, n) < 3e-9);
  program.release();
  runtime.close();
});

/** Rows with a few channels far larger than the rest, as activations have. */
function rowsWithOutliers(width: number, count: number, rng: Rng): CapturedRows {
  const rows = Float32Array.from(
    { length: width * count },
    (_, i) => rng.normal() * (i % width < 2 ? 6 : 0.5),
  );
  return { width, count, rows };
}

/** Every objective by its own optimizer, and one by the paper's. */
const COMBINATIONS = [
  ...OBJECTIVES.map((objective) => [objective, 'lie-adam', 0.05] as const),
  ['range', 'cayley-sgd', 0.3] as const,
];

for (const kernels of KERNELS) {
  for (const [objective, optimizer, learningRate] of COMBINATIONS) {
    test(`${objective}: ${optimizer} lowers it below the start's and stays orthogonal (${kernels} kernels)`, async () => {
      const runtime = await createRuntime({ kernels, threads: 1 });
      const cache = new ProgramCache(runtime);
      const rng = new Rng(2);
      const start = {
        residual: [Float32Array.from(haarRotation(12, rng))],
        value: [0, 1].map(() => Float32Array.from(haarRotation(8, rng))),
      };
      const captured = {
        residual: [rowsWithOutliers(12, 256, rng)],
        value: [0, 1].map(() => rowsWithOutliers(8, 256, rng)),
      };
      const options = {
        objective,
        optimizer,
        gradientClip: 1,
        steps: 60,
        learningRate,
        schedule: 'cosine',
        seams: ['residual', 'value'],
      } as const;
      const losses: number[] = [];
      for await (const step of learnFromActivations(cache, start, captured, options)) {
        losses.push(step.loss);
        // float32 rounding of a product of length 12, and what the pass leaves of turns of 0.1.
        assert.ok(step.orthogonalityError < 2e-5, `step ${step.step}: ${step.orthogonalityError}`);
        assert.notDeepEqual(step.state.value, start.value);
      }
      assert.ok(losses.at(-1)! < 0.97 * losses[0]!, `${losses[0]} → ${losses.at(-1)}`);
      await cache.release();
      runtime.close();
    });
  }
}

test('where groups of channels share a scale, the objective is the mean over groups', async () => {
  const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
  const cache = new ProgramCache(runtime);
  const rng = new Rng(4);
  const rows = rowsWithOutliers(12, 16, rng);
  const identity = Float32Array.from({ length: 144 }, (_, i) => (i % 13 === 0 ? 1 : 0));
  const lossOf = async (residualGroup: number) => {
    const options: DistributionOptions = {
      objective: 'peak',
      optimizer: 'lie-adam',
      gradientClip: null,
      steps: 1,
      learningRate: 0.01,
      schedule: 'constant',
      seams: ['residual'],
      residualGroup,
    };
    const steps = learnFromActivations(cache, { residual: [identity] }, { residual: [rows] }, options);
    const { value } = await steps.next();
    await steps.return({});
    return (value as { readonly loss: number }).loss;
  };
  for (const group of [0, 4, 6]) {
    const width = group || 12;
    const parts = Array.from({ length: (16 * 12) / width }, (_, i) =>
      REFERENCE.peak([...rows.rows.subarray(i * width, (i + 1) * width)]),
    );
    // Ten operations in float32, on peaks of up to 20.
    assert.ok(Math.abs((await lossOf(group)) - average(parts)) < 20 * 10 * 2 ** -24, `groups of ${group}`);
  }
  await cache.release();
  runtime.close();
});
