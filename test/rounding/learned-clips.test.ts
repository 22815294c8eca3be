/** Learned clip ratios of GPTQ's scales against loops in double precision, and their derivatives against differences. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SecondMoment } from '../../src/engine/calibration/second-moment.ts';
import { reduceSum } from '../../src/engine/graph/ops/reduce.ts';
import { Program, type Tensors } from '../../src/engine/graph/program.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { dampedFactor } from '../../src/engine/rounding/gptq/damped-factor.ts';
import { descend } from '../../src/engine/rounding/gptq/descend.ts';
import { DriftedTarget } from '../../src/engine/rounding/gptq/drifted-target.ts';
import { LayerRounder } from '../../src/engine/rounding/gptq/layer-rounder.ts';
import { clipSlopes, endsOf, LearnedClips, slopesOf } from '../../src/engine/rounding/gptq/learned-clips.ts';
import { LinearWeights } from '../../src/engine/rounding/walk/linear-weights.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { float32, type HostTensor } from '../../src/protocol/tensor.ts';
import { atBase, freezeClips } from '../helpers/frozen-clip.ts';
import { rotatedNetwork } from '../helpers/golden-network.ts';
import { PLAIN_GPTQ } from '../helpers/gptq-options.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise } from '../helpers/tiny-network.ts';
import { goldenFolder } from '../model/goldens.ts';
import { damped, secondMoment, textbook } from './textbook.ts';
import { type ClipProblem, learnedRow } from './textbook-clips.ts';

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ kernels: 'composed', threads: 1 });
});
after(() => runtime.close());

const STEPS = 30;
const [ROWS, N] = [5, 24];
const GRIDS = [
  { bits: 4, symmetric: true, group: 0, clipSearch: true },
  { bits: 3, symmetric: true, group: 8, clipSearch: false },
  { bits: 4, symmetric: false, group: 0, clipSearch: true },
  { bits: 2, symmetric: false, group: 12, clipSearch: false },
] as const;
type GridOptions = (typeof GRIDS)[number];
const label = ({ bits, symmetric, group }: GridOptions) =>
  `${bits} bits, ${symmetric ? 'symmetric' : 'with zero points'}, ${group ? 'groups' : 'rows'}`;

/** Weights with a few large ones in each row, so that shorter ranges pay. */
function drawn(grid: GridOptions) {
  const random = noise(grid.bits + grid.group);
  const w = Float32Array.from({ length: ROWS * N }, (_, i) => random() * (i % 7 === 0 ? 2.5 : 1));
  const h = secondMoment(N, 3 * N, 7);
  const lambda = damped(h, N)[0]! - h[0]!;
  const problem: ClipProblem = { ...grid, rows: ROWS, columns: N, w, h: damped(h, N) };
  const spec = { rows: ROWS, columns: N, quantizer: grid };
  return { w, h, lambda, problem, spec, groups: grid.group ? N / grid.group : 1 };
}

function double(dims: readonly number[], numbers: ArrayLike<number>): HostTensor<Float64Array> {
  return { kind: 'host', dtype: 'float64', dims, data: Float64Array.from(numbers) };
}

/** The engine's own derivatives, in double precision. */
async function inDouble(grid: GridOptions) {
  const { graph, outputs } = clipSlopes(drawn(grid).spec, 'float64');
  const program = await Program.compile(runtime, graph, outputs);
  const run = async (tensors: Tensors) => {
    const { loss, byUpper, byLower } = await program.run(tensors);
    const numbers = (tensor: HostTensor | undefined) => ({ data: Array.from(tensor!.data, Number) });
    return slopesOf({ loss: numbers(loss), byUpper: numbers(byUpper), byLower: numbers(byLower) }, grid);
  };
  return { graph, outputs, run };
}

for (const grid of GRIDS) {
  test(`${label(grid)}: ratios are those of the loop in double precision`, async () => {
    const { w, h, lambda, problem, groups } = drawn(grid);
    const { run } = await inDouble(grid);
    const given = { w: double([ROWS, N], w), h: double([N, N], h), lambda: double([1], [lambda]) };
    const slopesAt = async (ratios: Float64Array) => {
      const ends = endsOf(ratios, ROWS * groups, (part) => double([ROWS, groups], part));
      return run({ ...given, ...ends });
    };
    const rows = Array.from({ length: ROWS }, (_, row) => learnedRow(problem, row, STEPS));
    const begun = Array.from({ length: ROWS }, (_, row) => learnedRow(problem, row, 0).ratios);
    const byEnd = (all: readonly number[][]) => {
      const upper = all.flatMap((ratios) => ratios.slice(0, groups));
      return Float64Array.from(
        grid.symmetric ? upper : [...upper, ...all.flatMap((ratios) => ratios.slice(groups))],
      );
    };
    const first = byEnd(begun);
    const found = await descend({ first, rows: ROWS, groups, steps: STEPS }, slopesAt);
    const wanted = byEnd(rows.map(({ ratios }) => ratios));
    // Sums of 24 terms that cancel to a thousandth are off by 1e-12 of it, a logit after 30 steps by 30 · 0.01 times that.
    found.forEach((ratio, i) => {
      assert.ok(Math.abs(ratio - wanted[i]!) <= 1e-11, `${i}: ${ratio}, not ${wanted[i]}`);
    });
    assert.ok(rows.filter(({ loss, start }) => loss < 0.99 * start.loss).length >= 3, 'it gains something');
  });

  test(`${label(grid)}: derivatives are those of finite differences`, async () => {
    const { w, h, lambda, groups } = drawn(grid);
    const { graph, outputs, run } = await inDouble(grid);
    const frozen = await freezeClips(runtime, graph, { loss: reduceSum(outputs.loss, [0], false) });
    const random = noise(3);
    const ratios = () => Float64Array.from({ length: ROWS * groups }, () => 0.8 + 0.15 * random());
    // Symmetric ranges of one ratio, which are at a kink where both ends reach as far.
    const upper = ratios();
    const lower = grid.symmetric ? upper : ratios();
    const dims = [ROWS, groups];
    const base = {
      ...{ w: double([ROWS, N], w), h: double([N, N], h), lambda: double([1], [lambda]) },
      ...{ upper: double(dims, upper), lower: double(dims, lower) },
    };
    const { slope } = await run(base);
    const at = await atBase(frozen, base);
    const step = 1e-6;
    const loss = await at(base);
    for (let i = 0; i < slope.length; i++) {
      const moved = (by: number): Tensors => {
        const change = (values: Float64Array, from: number) =>
          double(
            dims,
            values.map((value, at) => (at === i - from ? value + by : value)),
          );
        return {
          ...base,
          upper: change(upper, 0),
          lower: change(lower, grid.symmetric ? 0 : upper.length),
        };
      };
      const found = ((await at(moved(step))) - (await at(moved(-step)))) / (2 * step);
      // The loss is known to 1e-15 of it, so that slopes are to 1e-9 of it; it is a square, with no further terms.
      assert.ok(Math.abs(found - slope[i]!) <= 4e-9 * loss, `${i}: ${slope[i]} against ${found}`);
    }
    assert.ok(Math.max(...Array.from(slope, Math.abs)) > 1e-2 * loss);
  });
}

for (const kernels of KERNELS)
  test(`grids are those of the loop but for float32 (${kernels} kernels)`, async () => {
    const own = await createRuntime({ kernels, threads: 2 });
    const cache = new ProgramCache(own);
    for (const grid of GRIDS) {
      const { w, h, lambda, problem, spec, groups } = drawn(grid);
      const clips = new LearnedClips(cache, { h: float32([N, N], h), lambda }, STEPS);
      const found = await clips.grid(float32([ROWS, N], w), spec.quantizer);
      for (let row = 0; row < ROWS; row++) {
        const wanted = learnedRow(problem, row, STEPS);
        for (let group = 0; group < groups; group++) {
          const at = row * groups + group;
          const off = Math.abs(found.scale.data[at]! / wanted.scale[group]! - 1);
          // Slopes are sums of 24 terms in float32, of which a tenth may be left, and no rounding here is near a tie: each
          // of 30 steps of 0.01 is off by 10 · 24 · 2⁻²⁴ of itself at most.
          assert.ok(off <= 1e-5, `${label(grid)}, row ${row}: ${off}`);
          assert.equal(found.zero.data[at], wanted.zero[group]);
        }
      }
    }
    await cache.release();
    own.close();
  });

test('with another target, ratios are learned for it, and GPTQ rounds it on their grid', async () => {
  const cache = new ProgramCache(runtime);
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const n = checkpoint.config.hiddenSize;
  const weights = { bits: 4, symmetric: true, group: 0, clipSearch: true };
  const quantizers = { ...FULL_PRECISION, weights };
  const { network } = rotatedNetwork(cache, checkpoint, { mode: 'merged', quantizers });
  const drawnRows = (seed: number, size: number) =>
    float32(
      [90, n],
      Float32Array.from({ length: 90 * n }, noise(seed)).map((x) => size * x),
    );
  const own = drawnRows(1, 1);
  const exact = float32(
    own.dims,
    drawnRows(2, 0.3).data.map((x, i) => x + own.data[i]!),
  );
  const seen = async () => {
    const moment = new SecondMoment(cache, n, { rows: true, residual: null });
    await moment.add(own);
    await moment.drift!.add({ exact, own, read: own });
    return moment;
  };
  const damping = 0.3;
  const options = {
    ...PLAIN_GPTQ,
    damping,
    target: 'outputs',
    learnedClip: true,
    learnedClipSteps: STEPS,
  } as const;
  const rounder = new LayerRounder(cache, network, options);
  const { sum, spare, drift } = await seen();
  const { t } = await dampedFactor(cache, sum, damping, spare);
  const { w } = await new LinearWeights(cache, network).mapped(0, 'q');
  const target = (await (await DriftedTarget.of(cache, { drift: drift! }, { t, order: null })).weights(w))
    .data;
  const h = Float64Array.from(sum.data);
  const lambda = (damping * Array.from({ length: n }, (_, j) => h[j * n + j]!).reduce((a, b) => a + b)) / n;
  for (let j = 0; j < n; j++) h[j * n + j]! += lambda;
  let tried = 0;
  for await (const found of rounder.round(0, ['q'], await seen())) {
    assert.ok('matrix' in found && 'codes' in found.matrix);
    const { rows, columns, codes, scale, zero } = found.matrix;
    assert.deepEqual(codes, textbook({ rows, columns, bits: 4, w: target, scale, zero }, h));
    const problem = { ...weights, rows, columns, w: target, h };
    for (let row = 0; row < rows; row++) {
      const off = Math.abs(scale[row]! / learnedRow(problem, row, STEPS).scale[0]! - 1);
      // As above, with sums of more terms.
      assert.ok(off <= 1e-4, `row ${row}: ${off}`);
    }
    tried++;
  }
  assert.equal(tried, 1);
  await cache.release();
});

test('rows that are on their grid already, and rows of zeros, keep the searched ratio', async () => {
  const cache = new ProgramCache(runtime);
  const h = float32([8, 8], secondMoment(8, 30, 1));
  const clips = new LearnedClips(cache, { h, lambda: 1 }, 5);
  const w = float32([2, 8], Float32Array.from([7, -3, 0, 2, 5, -7, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0]));
  const grid = { bits: 4, symmetric: true, group: 0, clipSearch: false };
  const { scale, zero } = await clips.grid(w, grid);
  assert.deepEqual([...zero.data], [0, 0]);
  assert.equal(scale.data[0], 1);
  assert.ok(scale.data[1]! > 0);
  await cache.release();
});
