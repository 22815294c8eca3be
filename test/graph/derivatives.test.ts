/** Every differentiation rule, by name, against central finite differences in float64. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gradients } from '../../src/engine/autodiff/gradients.ts';
import { causalAttention } from '../../src/engine/graph/fused/causal-attention.ts';
import { hadamard } from '../../src/engine/graph/fused/hadamard.ts';
import { peakLoss } from '../../src/engine/graph/fused/peak-loss.ts';
import { rmsNorm } from '../../src/engine/graph/fused/rms-norm.ts';
import { rotaryEmbedding } from '../../src/engine/graph/fused/rotary.ts';
import { swiGlu } from '../../src/engine/graph/fused/swiglu.ts';
import { tokenLoss } from '../../src/engine/graph/fused/token-loss.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import * as ew from '../../src/engine/graph/ops/elementwise.ts';
import { gemm, matmul } from '../../src/engine/graph/ops/matmul.ts';
import { reduceMean, reduceSum, softmax } from '../../src/engine/graph/ops/reduce.ts';
import * as shape from '../../src/engine/graph/ops/shape.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { elementCount, type HostTensor } from '../../src/protocol/tensor.ts';
import { noise } from '../helpers/tiny-network.ts';

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ kernels: 'composed', threads: 1 });
});
after(() => runtime.close());

interface Rule {
  readonly dims: readonly (readonly number[])[];
  readonly build: (graph: Graph, inputs: Value[]) => Value;
  /** Inputs are drawn from here; default (−1, 1). */
  readonly range?: readonly [number, number];
}

const H3 = Int8Array.of(1, 1, 1, -1, 1, 1, 1, -1, -1);

const RULES: Readonly<Record<string, Rule>> = {
  Add: { dims: [[2, 3], [3]], build: (_g, [a, b]) => ew.add(a!, b!) },
  Sub: {
    dims: [
      [2, 1],
      [2, 3],
    ],
    build: (_g, [a, b]) => ew.sub(a!, b!),
  },
  Mul: { dims: [[2, 3], [1]], build: (_g, [a, b]) => ew.mul(a!, b!) },
  'Mul by itself': { dims: [[4]], build: (_g, [a]) => ew.mul(a!, a!) },
  Div: {
    dims: [
      [2, 3],
      [2, 1],
    ],
    build: (_g, [a, b]) => ew.div(a!, b!),
    range: [0.5, 2],
  },
  Neg: { dims: [[3]], build: (_g, [a]) => ew.neg(a!) },
  Exp: { dims: [[3]], build: (_g, [a]) => ew.exp(a!) },
  Abs: { dims: [[5]], build: (_g, [a]) => ew.abs(a!) },
  Log: { dims: [[3]], build: (_g, [a]) => ew.log(a!), range: [0.5, 2] },
  Sqrt: { dims: [[3]], build: (_g, [a]) => ew.sqrt(a!), range: [0.5, 2] },
  Sigmoid: { dims: [[3]], build: (_g, [a]) => ew.sigmoid(a!) },
  Identity: { dims: [[3]], build: (_g, [a]) => ew.identity(a!) },
  Where: {
    dims: [[2, 3], [3]],
    build: (g, [a, b]) => ew.where(ew.less(g.reals([2, 3], [1, -1, 1, -1, 1, -1]), g.scalar(0)), a!, b!),
  },
  MatMul: {
    dims: [
      [2, 3, 4],
      [4, 2],
    ],
    build: (_g, [a, b]) => matmul(a!, b!),
  },
  'MatMul, broadcast batch': {
    dims: [
      [1, 3, 4],
      [2, 4, 2],
    ],
    build: (_g, [a, b]) => matmul(a!, b!),
  },
  Gemm: {
    dims: [
      [3, 4],
      [4, 2],
    ],
    build: (_g, [a, b]) => gemm(a!, b!, { alpha: 0.7 }),
  },
  'Gemm, A transposed': {
    dims: [
      [4, 3],
      [4, 2],
    ],
    build: (_g, [a, b]) => gemm(a!, b!, { transA: true }),
  },
  'Gemm, B transposed': {
    dims: [
      [3, 4],
      [2, 4],
    ],
    build: (_g, [a, b]) => gemm(a!, b!, { transB: true, alpha: 2 }),
  },
  'Gemm, both transposed': {
    dims: [
      [4, 3],
      [2, 4],
    ],
    build: (_g, [a, b]) => gemm(a!, b!, { transA: true, transB: true }),
  },
  Reshape: { dims: [[2, 3]], build: (_g, [a]) => shape.reshape(a!, [3, 2]) },
  Transpose: { dims: [[2, 3, 4]], build: (_g, [a]) => shape.transpose(a!, [2, 0, 1]) },
  Concat: {
    dims: [
      [2, 3],
      [2, 1],
    ],
    build: (_g, [a, b]) => shape.concat([a!, b!], 1),
  },
  Slice: { dims: [[2, 5]], build: (_g, [a]) => shape.slice(a!, 1, 1, 4) },
  Expand: { dims: [[2, 1]], build: (_g, [a]) => shape.expand(a!, [2, 3]) },
  'Gather, repeated rows': { dims: [[4, 3]], build: (g, [a]) => shape.gatherRows(a!, g.ints([2, 0, 2])) },
  ReduceSum: { dims: [[2, 3, 2]], build: (_g, [a]) => reduceSum(a!, [0, 2]) },
  ReduceMean: { dims: [[2, 3]], build: (_g, [a]) => reduceMean(a!, [-1], false) },
  Softmax: { dims: [[2, 4]], build: (_g, [a]) => softmax(a!) },
  Hadamard: { dims: [[2, 8]], build: (_g, [a]) => hadamard(a!, { block: 8, order: 1, matrix: null }) },
  'Hadamard, order 3·4': {
    dims: [[2, 12]],
    build: (_g, [a]) => hadamard(a!, { block: 12, order: 3, matrix: H3 }),
  },
  'Hadamard, inverse': {
    dims: [[2, 12]],
    build: (_g, [a]) => hadamard(a!, { block: 12, order: 3, matrix: H3 }, true),
  },
  'Hadamard, blocks': {
    dims: [[2, 12]],
    build: (_g, [a]) => hadamard(a!, { block: 4, order: 1, matrix: null }),
  },
  CausalAttention: {
    dims: [
      [2, 6, 2],
      [2, 3, 2],
      [2, 3, 2],
    ],
    build: (_g, [q, k, v]) => causalAttention(q!, k!, v!, { scale: 0.7, rows: 3, window: 0 })[0],
  },
  'CausalAttention, window': {
    dims: [
      [8, 3],
      [5, 3],
      [5, 3],
    ],
    build: (_g, [q, k, v]) => causalAttention(q!, k!, v!, { scale: 0.7, rows: 4, window: 2 })[0],
  },
  PeakLoss: { dims: [[3, 5]], build: (_g, [a]) => peakLoss(a!, 2, 1e-6) },
  RmsNorm: { dims: [[3, 5]], build: (_g, [a]) => rmsNorm(a!, 1e-3) },
  SwiGlu: {
    dims: [
      [2, 3],
      [2, 3],
    ],
    build: (_g, [a, b]) => swiGlu(a!, b!),
  },
  RotaryEmbedding: {
    dims: [[2, 3, 4]],
    build: (g, [a]) =>
      rotaryEmbedding(
        a!,
        g.reals([3, 2], [1, 0.5, 0.2, 0.1, 0.4, 0.6]),
        g.reals([3, 2], [0, 0.5, 0.9, 0.8, 0.4, 0.6]),
      ),
  },
  TokenLoss: { dims: [[3, 5]], build: (g, [a]) => tokenLoss(a!, g.ints([1, -1, 4])) },
};

/** Step of the central differences; they err by e²|f‴|/6 + ε|f|/e, about 1e-9 for functions and inputs of order one. */
const STEP = 1e-5;
const BOUND = 2e-9;

for (const [name, rule] of Object.entries(RULES)) {
  test(`∂ ${name}`, async (t) => {
    const graph = new Graph('float64');
    const inputs = rule.dims.map((dims, i) => graph.input(`x${i}`, dims));
    const y = rule.build(graph, inputs);
    const weight = graph.input('weight', y.dims);
    const axes = y.dims.map((_, axis) => axis);
    const loss = reduceSum(ew.mul(y, weight), axes, false);
    const found = gradients([[loss, graph.scalar(1)]], inputs);
    const outputs = Object.fromEntries(found.map((gradient, i) => [`g${i}`, gradient!]));
    const program = await Program.compile(runtime, graph, { loss, ...outputs });
    const random = noise(11);
    const [low, high] = rule.range ?? [-1, 1];
    const draw = (dims: readonly number[]): HostTensor<Float64Array> => ({
      kind: 'host',
      dtype: 'float64',
      dims,
      data: Float64Array.from(
        { length: elementCount(dims) },
        () => low + ((random() + 1) / 2) * (high - low),
      ),
    });
    const tensors: Record<string, HostTensor<Float64Array>> = { weight: draw(y.dims) };
    rule.dims.forEach((dims, i) => {
      tensors[`x${i}`] = draw(dims);
    });
    const lossAt = async () => (await program.run(tensors)).loss!.data[0] as number;
    const analytic = await program.run(tensors);
    let worst = 0;
    for (let i = 0; i < rule.dims.length; i++) {
      const { data } = tensors[`x${i}`]!;
      const gradient = analytic[`g${i}`]!.data as Float64Array;
      assert.ok(
        gradient.some((value) => value !== 0),
        'the derivative must not vanish',
      );
      for (let j = 0; j < data.length; j++) {
        const kept = data[j]!;
        data[j] = kept + STEP;
        const above = await lossAt();
        data[j] = kept - STEP;
        const below = await lossAt();
        data[j] = kept;
        worst = Math.max(worst, Math.abs((above - below) / (2 * STEP) - gradient[j]!));
      }
    }
    t.diagnostic(`largest difference ${worst.toExponential(1)}`);
    assert.ok(worst < BOUND, `${name} differs by ${worst}`);
    program.release();
  });
}
