/**
 * A block at W4A4KV4 as QuaRot rotates it, with heads mixed at the input of o, against an independent program in PyTorch
 * (bench/peers/quarot_torch.py).
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { experimentSchema } from '../../src/config/index.ts';
import type { Real } from '../../src/engine/graph/graph.ts';
import { Program } from '../../src/engine/graph/program.ts';
import type { ModelConfig } from '../../src/engine/model/config.ts';
import { ropeTables } from '../../src/engine/model/rope.ts';
import { layerExpression, prepareExpression } from '../../src/engine/network/layer-programs.ts';
import { quantizersOf } from '../../src/engine/network/quantizers.ts';
import { spinQuantMaps } from '../../src/engine/network/seams.ts';
import { planAcrossHeads, planHadamard } from '../../src/engine/rotation/hadamard-plan.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32, type HostTensor } from '../../src/protocol/tensor.ts';
import { hadamardMatrix } from '../helpers/hadamard-matrix.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { layerDims, noise, randomTensor, TINY_CONFIG } from '../helpers/tiny-network.ts';

const FIXTURE = join(import.meta.dirname, '..', 'fixtures', 'quarot-block.json');
const golden = JSON.parse(readFileSync(FIXTURE, 'utf8')) as { y: number[]; margin: number };

const TOKENS = 6;
const config: ModelConfig = {
  ...TINY_CONFIG,
  ...{ hiddenSize: 16, intermediateSize: 32, heads: 4, kvHeads: 2, headDim: 4 },
  ...{ attentionBias: false, outputBias: false, mlpBias: false, qkNorm: false },
};
const { hiddenSize: D, headDim: H } = config;

type Tensors = Record<string, HostTensor<Float32Array>>;

/** The fixture's numbers, drawn in its order. */
function drawn() {
  const random = noise(26);
  const dims = layerDims(config);
  const gain = () =>
    float32(
      [D],
      randomTensor([D], random, 0.6).data.map((x) => 1 + x),
    );
  const weights: Tensors = { inputNorm: gain(), postNorm: gain() };
  for (const linear of ['q', 'k', 'v', 'o', 'gate', 'up', 'down'])
    weights[linear] = randomTensor(dims[linear]!, random, 0.6);
  const x = randomTensor([TOKENS, D], random);
  const signed = (n: number) => {
    const signs = Array.from({ length: n }, () => (random() >= 0 ? 1 : -1));
    return hadamardMatrix(planHadamard(n)).map((value, i) => value * signs[Math.floor(i / n)]!);
  };
  return { weights, x, r1: signed(D), r2: signed(H) };
}

/** Rows [T, n] times M [n, n], or its transpose. */
function times(rows: ArrayLike<number>, m: Float64Array, n: number, transposed = false): Float64Array {
  return Float64Array.from({ length: rows.length }, (_, at) => {
    const [row, column] = [Math.floor(at / n), at % n];
    let sum = 0;
    for (let i = 0; i < n; i++) sum += rows[row * n + i]! * m[transposed ? column * n + i : i * n + column]!;
    return sum;
  });
}

async function outputOf(kernels: (typeof KERNELS)[number], real: Real): Promise<Float64Array> {
  const { weights, x, r1, r2 } = drawn();
  const { quantization, rotation } = experimentSchema.parse({
    model: 'm',
    quantization: { weights: { clip: false } },
    rotation: { acrossHeads: true },
  });
  const maps = spinQuantMaps({
    ...{ r1: true, r2: true, r3: planHadamard(H), r4: planHadamard(config.intermediateSize) },
    acrossHeads: planAcrossHeads(config.heads),
  });
  const { quantizers } = quantizersOf(quantization, rotation, config);
  const shape = { batch: 1, sequence: TOKENS, config, window: null, quantizers, maps };
  const types = Object.fromEntries(
    Object.entries(weights).map(([name, { dims }]) => [name, { dtype: 'float32' as const, dims }]),
  );
  const of = (dims: readonly number[], data: ArrayLike<number>): HostTensor =>
    real === 'float32'
      ? float32(dims, Float32Array.from(data))
      : { kind: 'host', dtype: 'float64', dims, data: Float64Array.from(data) };
  const { cos, sin } = ropeTables(config, TOKENS);
  const given = {
    ...weights,
    ...{ residual: of([D, D], r1), value: of([H, H], r2), x: of([TOKENS, D], times(x.data, r1, D)) },
    ...{ cos: of([TOKENS, H / 2], cos), sin: of([TOKENS, H / 2], sin) },
  };
  const runtime = await createRuntime({ kernels, threads: 1 });
  const prepare = prepareExpression({ shape, types, ratios: 'inside' }, real);
  const layer = layerExpression(shape, types, 'merged', false, real);
  const first = await Program.compile(runtime, prepare.graph, prepare.outputs);
  const second = await Program.compile(runtime, layer.graph, { y: layer.y });
  const { y } = await second.run({ ...given, ...(await first.run(given)) });
  runtime.close();
  return times(Float64Array.from(y!.data as Float64Array), r1, D, true);
}

/** No quotient lies this near to where another code begins: all codes are the fixture's. */
const NEAREST = 1e-3;

for (const kernels of KERNELS)
  for (const real of ['float64', 'float32'] as const)
    test(`QuaRot's block is the peer's, in ${real} (${kernels} kernels)`, async (t) => {
      assert.ok(golden.margin > NEAREST);
      const y = await outputOf(kernels, real);
      const largest = Math.max(...golden.y.map(Math.abs));
      const difference = Math.max(...golden.y.map((value, i) => Math.abs(value - y[i]!)));
      // Codes are equal, so only scales and sums round: some twenty operations in a row, each off by √d ulps.
      // RoPE's tables are float32 in both.
      const bound = 20 * Math.sqrt(D) * 2 ** -23 * largest;
      t.diagnostic(`max |Δy| ${difference.toExponential(2)}, bound ${bound.toExponential(2)}`);
      assert.ok(difference <= bound, `${difference}, bound ${bound}`);
    });
