/** Every operator of ours has two bodies: the native kernel and its twin of standard operators must agree. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../../src/engine/autodiff/gradients.ts';
import { causalAttention } from '../../src/engine/graph/fused/causal-attention.ts';
import { fakeQuantize } from '../../src/engine/graph/fused/fake-quantize.ts';
import { scaledRows } from '../../src/engine/graph/fused/gemm-bfloat16.ts';
import { hadamard } from '../../src/engine/graph/fused/hadamard.ts';
import { headLoss } from '../../src/engine/graph/fused/head-loss.ts';
import { kronecker } from '../../src/engine/graph/fused/kronecker.ts';
import { peakLoss } from '../../src/engine/graph/fused/peak-loss.ts';
import { rmsNorm } from '../../src/engine/graph/fused/rms-norm.ts';
import { rotaryEmbedding } from '../../src/engine/graph/fused/rotary.ts';
import { byteCodes } from '../../src/engine/graph/fused/row-codes.ts';
import { addSecondMoment } from '../../src/engine/graph/fused/second-moment.ts';
import { storedRows } from '../../src/engine/graph/fused/stored-rows.ts';
import { swiGlu } from '../../src/engine/graph/fused/swiglu.ts';
import { tokenLoss } from '../../src/engine/graph/fused/token-loss.ts';
import { fakeQuantizeWeight, quantizeWithRatio } from '../../src/engine/graph/fused/weight-quantize.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { add } from '../../src/engine/graph/ops/elementwise.ts';
import { gemm } from '../../src/engine/graph/ops/matmul.ts';
import { cast, toReal, transpose } from '../../src/engine/graph/ops/shape.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { elementCount, float32, type HostTensor } from '../../src/protocol/tensor.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise } from '../helpers/tiny-network.ts';
import { CACHED_ATTENTION_TWINS } from './cached-attention-twins.ts';
import { INT4_TWINS } from './int4-twins.ts';
import { PACKED_CACHE_TWINS } from './packed-cache-twins.ts';
import type { Twin } from './twin.ts';

const EPSILON = 2 ** -23;

const activation = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true };
/** Groups of two numbers: many lie on one side of 0. */
const TWO_RATIOS = { clipRatio: 0.9, lowerRatio: 0.7 };
const weight = { bits: 4, symmetric: true, group: 0, clipSearch: false };

const TWINS: Record<string, Twin> = {
  'FakeQuantize, asymmetric, per token': {
    dims: [[5, 24]],
    build: (_g, [x]) => fakeQuantize(x!, activation),
    roundings: 0,
  },
  'FakeQuantize, symmetric, clipped': {
    dims: [[5, 24]],
    build: (_g, [x]) => fakeQuantize(x!, { ...activation, symmetric: true, clipRatio: 0.9 }),
    roundings: 0,
  },
  'FakeQuantize, symmetric, full range': {
    dims: [[5, 24]],
    build: (_g, [x]) => fakeQuantize(x!, { ...activation, symmetric: true, fullRange: true }),
    roundings: 0,
  },
  'FakeQuantize, groups, zero outside': {
    dims: [[5, 24]],
    build: (_g, [x]) => fakeQuantize(x!, { ...activation, group: 8, includeZero: false }),
    roundings: 0,
  },
  'FakeQuantize, a ratio for each end': {
    dims: [[5, 24]],
    build: (_g, [x]) => fakeQuantize(x!, { ...activation, group: 2, includeZero: false, ...TWO_RATIOS }),
    roundings: 0,
  },
  'QuantizeRows and RowMultiples': {
    dims: [[5, 24]],
    build: (_g, [x]) => byteCodes(x!, { ...activation, bits: 7 }).rounded,
    roundings: 0,
    forwardOnly: true,
  },
  // |y − x| is at most a fifth of the range, so a derivative sums 24 terms of at most 1/5 with 24 roundings of half an ε.
  'FakeQuantizeScaleGrad, asymmetric, per token': {
    dims: [[5, 24]],
    build: (_g, [x]) => fakeQuantize(x!, { ...activation, scaleGradient: true }),
    roundings: 64,
  },
  'FakeQuantizeScaleGrad, symmetric, clipped': {
    dims: [[5, 24]],
    build: (_g, [x]) =>
      fakeQuantize(x!, { ...activation, symmetric: true, clipRatio: 0.9, scaleGradient: true }),
    roundings: 64,
  },
  'FakeQuantizeScaleGrad, groups, zero outside': {
    dims: [[5, 24]],
    build: (_g, [x]) =>
      fakeQuantize(x!, { ...activation, group: 8, includeZero: false, scaleGradient: true }),
    roundings: 64,
  },
  'FakeQuantizeWeight, per row': {
    dims: [[6, 40]],
    build: (_g, [x]) => fakeQuantizeWeight(x!, weight),
    roundings: 0,
  },
  'FakeQuantizeWeight, clip search': {
    dims: [[6, 40]],
    build: (_g, [x]) => fakeQuantizeWeight(x!, { ...weight, clipSearch: true }),
    roundings: 0,
  },
  'FakeQuantizeWeight, asymmetric groups, clip search': {
    dims: [[6, 40]],
    build: (_g, [x]) => fakeQuantizeWeight(x!, { bits: 3, symmetric: false, group: 8, clipSearch: true }),
    roundings: 0,
  },
  'FakeQuantizeWeight, given ratios': {
    dims: [[6, 40]],
    build: (g, [x]) =>
      quantizeWithRatio(
        x!,
        { ...weight, clipSearch: true },
        g.reals([6, 1], [1, 0.9, 0.77, 0.5, 0.3, 0.21]),
      )[0],
    roundings: 0,
  },
  CausalAttention: {
    dims: [
      [2, 14, 8],
      [2, 7, 8],
      [2, 7, 8],
    ],
    build: (_g, [q, k, v]) => causalAttention(q!, k!, v!, { scale: 0.5, rows: 7, window: 0 })[0],
    roundings: 64,
  },
  'CausalAttention, window, odd width': {
    dims: [
      [2, 3, 14, 5],
      [2, 3, 9, 5],
      [2, 3, 9, 5],
    ],
    build: (_g, [q, k, v]) => causalAttention(q!, k!, v!, { scale: 0.5, rows: 7, window: 3 })[0],
    roundings: 64,
  },
  // Scores add up to 1 and deviations are below 2, so losses and slopes are of order one; both bodies take about as many
  // roundings as there are channels, the native exponential six more each.
  PeakLoss: { dims: [[5, 33]], build: (_g, [x]) => peakLoss(x!, 2, 1e-6), roundings: 64 },
  RmsNorm: { dims: [[5, 33]], build: (_g, [x]) => rmsNorm(x!, 1e-5), roundings: 64 },
  SwiGlu: {
    dims: [
      [5, 33],
      [5, 33],
    ],
    build: (_g, [a, b]) => swiGlu(a!, b!),
    roundings: 16,
  },
  RotaryEmbedding: {
    dims: [[2, 3, 4, 6]],
    build: (g, [x]) => rotaryEmbedding(x!, table(g, Math.cos), table(g, Math.sin)),
    roundings: 8,
  },
  // Sums of up to 256 products of at most 1, each with up to 1.5 roundings natively and one composed.
  GemmBfloat16: {
    dims: [
      [256, 16],
      [64, 16],
    ],
    build: (_g, [x, w]) =>
      gemm(x!, scaledRows({ codes: cast(w!, 'bfloat16'), scale: null }), { transB: true }),
    roundings: (256 * 256 * 2.5) / 2,
  },
  'GemmBfloat16, scaled rows': {
    dims: [[256, 16], [64, 16], [64]],
    build: (_g, [x, w, scale]) =>
      gemm(x!, scaledRows({ codes: cast(w!, 'bfloat16'), scale: scale! }), { transB: true }),
    roundings: (256 * 256 * 2.5) / 2,
  },
  GemmBfloat16Add: {
    dims: [
      [256, 16],
      [64, 16],
      [256, 64],
    ],
    build: (_g, [x, w, y]) => add(y!, gemm(x!, toReal(cast(w!, 'bfloat16')), { transB: true })),
    roundings: (256 * 256 * 2.5) / 2,
  },
  // Sums of 67 products of at most 1, each with up to 2 roundings natively and composed.
  StoredRows: {
    dims: [
      [3, 67],
      [33, 67],
    ],
    build: (_g, [x, w]) => storedRows(x!, cast(w!, 'bfloat16')),
    roundings: 67 * 67 * 2,
    forwardOnly: true,
  },
  // The same sums for two logits of a loss, its own sum over 33, and two exponentials.
  HeadLoss: {
    dims: [
      [3, 67],
      [33, 67],
    ],
    build: (g, [x, w]) => headLoss(x!, cast(w!, 'bfloat16'), g.ints([4, -1, 32])),
    roundings: 2 * 67 * 67 * 2 + 33 + 2 * 8,
    forwardOnly: true,
  },
  // Quantized rows are at most 1.1 in size; both factors and the sums carry roundings as above.
  'GemmBfloat16, codes by codes': {
    dims: [[256, 64], [64, 64], [64]],
    build: (_g, [x, w, scale]) =>
      gemm(fakeQuantize(x!, activation), scaledRows({ codes: cast(w!, 'bfloat16'), scale: scale! }), {
        transB: true,
      }),
    roundings: (256 * 256 * 2.5) / 2,
  },
  'SplitGemm, codes on the left': {
    dims: [
      [256, 64],
      [64, 64],
    ],
    build: (_g, [x, m]) => gemm(fakeQuantize(x!, activation), m!),
    roundings: (256 * 256 * 2.5) / 2,
  },
  'SplitGemm, codes on the right': {
    dims: [
      [256, 64],
      [256, 64],
    ],
    build: (_g, [x, g]) => gemm(g!, fakeQuantize(x!, { ...activation, symmetric: true }), { transA: true }),
    roundings: (256 * 256 * 2.5) / 2,
  },
  ...INT4_TWINS,
  ...CACHED_ATTENTION_TWINS,
  ...PACKED_CACHE_TWINS,
  // Numbers of at most 1: 131 sums of at most 131 in size, each with a rounding of half an ε, and their products.
  SecondMoment: {
    dims: [
      [130, 50],
      [50, 50],
    ],
    build: (_g, [x, half]) => addSecondMoment(x!, add(half!, transpose(half!, [1, 0]))),
    roundings: 132 * 132,
    forwardOnly: true,
  },
  // Only copies. As many elements as are worth all threads, in the shapes that heads are split and joined from.
  'SwapAxes, heads split and joined': {
    dims: [[2, 60, 3, 3, 64]],
    build: (_g, [x]) => transpose(x!, [0, 2, 3, 1, 4]),
    roundings: 0,
  },
  'SwapAxes, one group of heads': {
    dims: [[3, 5, 80, 64]],
    build: (_g, [x]) => transpose(x!, [0, 2, 1, 3]),
    roundings: 0,
  },
  // Only moves bits.
  Widen: {
    dims: [[300, 257]],
    build: (_g, [x]) => toReal(cast(x!, 'bfloat16')),
    roundings: 0,
    forwardOnly: true,
  },
  TokenLoss: { dims: [[3, 17]], build: (g, [x]) => tokenLoss(x!, g.ints([1, -1, 16])), roundings: 64 },
};
for (const [left, right] of [
  [1, 3],
  [4, 6],
  [9, 17],
] as const) {
  const n = left * right;
  TWINS[`Kronecker ${left} × ${right}`] = {
    dims: [[2, 3, n], [n + left ** 2 + right ** 2 + 5]],
    build: (_g, [x, numbers]) => kronecker(x!, numbers!, left),
    // n summands of at most 1, each rounded n1 + n2 + 1 times in either form.
    roundings: 2 * n * (left + right + 1),
    forwardOnly: true,
  };
}
for (const width of [1, 3, 8, 12, 172, 288]) {
  TWINS[`Hadamard ${width}`] = {
    dims: [[3, width]],
    build: (_g, [x]) => hadamard(x!, planHadamard(width)),
    roundings: 64,
  };
}

function table(graph: Graph, angle: (x: number) => number): Value {
  return graph.reals(
    [4, 3],
    Array.from({ length: 12 }, (_, i) => angle(i)),
  );
}

async function evaluate(kernels: 'native' | 'composed', twin: Twin): Promise<Record<string, HostTensor>> {
  const graph = new Graph();
  const inputs = twin.dims.map((dims, i) => graph.input(`x${i}`, dims));
  const y = twin.build(graph, inputs);
  const dy = graph.input('dy', y.dims);
  const found = twin.forwardOnly ? [] : gradients([[y, dy]], inputs);
  const runtime = await createRuntime({ kernels, threads: 1 });
  const outputs = Object.fromEntries(found.map((gradient, i) => [`g${i}`, gradient]));
  const program = await Program.compile(runtime, graph, { y, ...outputs });
  const random = noise(2);
  const draw = (dims: readonly number[]) =>
    float32(
      dims,
      Float32Array.from({ length: elementCount(dims) }, () => random()),
    );
  const tensors: Record<string, HostTensor> = { dy: draw(y.dims) };
  twin.dims.forEach((dims, i) => {
    tensors[`x${i}`] = draw(dims);
  });
  const out = await program.run(tensors);
  program.release();
  runtime.close();
  return out;
}

for (const [name, twin] of Object.entries(TWINS)) {
  test(`native and composed agree: ${name}`, async (t) => {
    if (!KERNELS.includes('native')) return t.skip('the native operators are not built');
    const native = await evaluate('native', twin);
    const composed = await evaluate('composed', twin);
    assert.deepEqual(Object.keys(native), Object.keys(composed));
    for (const output of Object.keys(native)) {
      const a = native[output]!.data as Float32Array;
      const b = composed[output]!.data as Float32Array;
      let worst = 0;
      for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
      assert.ok(worst <= twin.roundings * EPSILON, `${output} differs by ${worst}`);
      assert.ok(
        a.some((value) => value !== 0),
        `${output} is all zero`,
      );
    }
  });
}
