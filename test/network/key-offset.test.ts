/** Keys without the bias of their projection, as a layer puts them into its cache. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { experimentSchema } from '../../src/config/index.ts';
import { Program, type Reals } from '../../src/engine/graph/program.ts';
import { ropeTables } from '../../src/engine/model/rope.ts';
import { layerExpression } from '../../src/engine/network/layer-programs.ts';
import type { LayerQuantizers } from '../../src/engine/network/layer-shape.ts';
import { quantizersOf } from '../../src/engine/network/quantizers.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import {
  layerTypes,
  noise,
  randomLayer,
  randomTensor,
  TINY_CONFIG,
  tinyShape,
} from '../helpers/tiny-network.ts';

const config = { ...TINY_CONFIG, qkNorm: false };
const { hiddenSize: D, headDim: H, kvHeads: G } = config;
const [TOKENS, ROOM, BITS, LARGE] = [5, 8, 4, 200];

/** Of the experiment with these keys; values stay numbers, so that the cache holds numbers, here of float32. */
function quantizers(keys: object, model = config): LayerQuantizers {
  const { quantization, rotation } = experimentSchema.parse({
    model: 'm',
    quantization: { weights: { bits: 16 }, activations: { bits: 16 }, keys, values: { bits: 16 } },
  });
  return { ...quantizersOf(quantization, rotation, model).quantizers, cachedNumbers: 'float32' };
}

/** R3 of heads of 4 channels, its own inverse. */
const turned = (x: readonly number[]): number[] => {
  const [a, b, c, d] = x as [number, number, number, number];
  return [a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d].map((sum) => sum / 2);
};

/** Asymmetric codes of a row whose range holds 0, as numbers. */
function rounded(row: readonly number[]): number[] {
  const [low, high] = [Math.min(0, ...row), Math.max(0, ...row)];
  const scale = (high - low) / (2 ** BITS - 1);
  const zero = Math.round(-low / scale);
  return row.map((x) => scale * (Math.min(2 ** BITS - 1, Math.max(0, Math.round(x / scale) + zero)) - zero));
}

function rotary(x: readonly number[], cos: readonly number[], sin: readonly number[]): number[] {
  const half = x.length / 2;
  return x.map((value, i) => {
    const j = i % half;
    return i < half ? value * cos[j]! - x[i + half]! * sin[j]! : value * cos[j]! + x[j]! * sin[j]!;
  });
}

/** k̂ = Q((RoPE(W x + b) − RoPE(b)) H) + RoPE(b) H, and the keys themselves, all H-turned [G][S][h], in float64. */
function reference(layer: ReturnType<typeof randomLayer>, x: Float32Array) {
  const { cos, sin } = ropeTables(config, TOKENS);
  const numbers = (name: string): Float32Array => layer[name]!.data as Float32Array;
  const [weight, bias, gain] = [numbers('k'), numbers('kBias'), numbers('inputNorm')];
  const found: { exact: number[]; withOffset: number[] }[] = [];
  for (let g = 0; g < G; g++)
    for (let t = 0; t < TOKENS; t++) {
      const row = Array.from(x.subarray(t * D, (t + 1) * D));
      const size = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / D + config.rmsNormEps);
      const product = Array.from({ length: H }, (_, i) =>
        row.reduce((sum, value, j) => sum + (value / size) * gain[j]! * weight[(g * H + i) * D + j]!, 0),
      );
      const b = Array.from(bias.subarray(g * H, (g + 1) * H));
      const angles = [cos, sin].map((table) => Array.from(table.subarray((t * H) / 2, ((t + 1) * H) / 2)));
      const turn = (values: readonly number[]) => turned(rotary(values, angles[0]!, angles[1]!));
      const [rest, constant] = [turn(product), turn(b)];
      const add = (values: readonly number[]) => values.map((value, i) => value + constant[i]!);
      found.push({ exact: add(rest), withOffset: add(rounded(rest)) });
    }
  return found;
}

/** Queries and keys have no norms of their own here. */
function withoutNorms<T>({
  qNorm: _q,
  kNorm: _k,
  ...others
}: Readonly<Record<string, T>>): Record<string, T> {
  return others;
}

/** Keys [G, S, h] that a layer of the plain form adds to its cache. */
async function cachedKeys(
  kernels: (typeof KERNELS)[number],
  own: LayerQuantizers,
  layer: ReturnType<typeof randomLayer>,
  x: Reals,
): Promise<Float32Array> {
  const runtime = await createRuntime({ kernels, threads: 1 });
  const { maps } = tinyShape(own);
  const shape = { ...tinyShape(own, config), batch: 1, sequence: TOKENS, capacity: ROOM };
  const online = { ...shape, maps: { 'query-key': maps['query-key']! } };
  const { graph, grown } = layerExpression(online, withoutNorms(layerTypes(config)), 'plain', false);
  const program = await Program.compile(runtime, graph, { keys: grown!.keys! });
  const { cos, sin } = ropeTables(config, TOKENS);
  const angles = { cos: float32([TOKENS, H / 2], cos), sin: float32([TOKENS, H / 2], sin) };
  const { inputNorm, k, kBias } = layer;
  const out = await program.run({ inputNorm: inputNorm!, k: k!, kBias: kBias!, ...angles, x });
  program.release();
  runtime.close();
  return out.keys!.data as Float32Array;
}

const largest = (values: readonly number[]): number => Math.max(...values.map(Math.abs));

for (const kernels of KERNELS)
  test(`a key is stored without its bias, and gets it back (${kernels} kernels)`, async () => {
    const random = noise(5);
    const layer = randomLayer(config, random);
    const bias = layer.kBias!.data as Float32Array;
    for (const [i, value] of bias.entries()) bias[i] = LARGE * value;
    const x = randomTensor([TOKENS, D], random) as Reals;
    const expected = reference(layer, x.data);
    const keys = { bits: BITS };
    const found = await cachedKeys(kernels, quantizers(keys), layer, x);
    const plain = await cachedKeys(kernels, quantizers({ ...keys, offset: 'none' }), layer, x);
    const errors = { with: 0, without: 0 };
    for (const [at, { exact, withOffset }] of expected.entries()) {
      const row = (values: Float32Array) => Array.from(values.subarray(at * H, (at + 1) * H));
      // Bias and key are rounded to float32 a dozen times on the way; a code moves by one where that crosses a border.
      const allowed = 12 * 2 * LARGE * 2 ** -23;
      const apart = row(found).map((value, i) => value - withOffset[i]!);
      assert.ok(largest(apart) < allowed, `head and token ${at}: ${row(found)} for ${withOffset}`);
      errors.with = Math.max(errors.with, largest(row(found).map((value, i) => value - exact[i]!)));
      errors.without = Math.max(errors.without, largest(row(plain).map((value, i) => value - exact[i]!)));
    }
    assert.ok(errors.without > 10 * errors.with, JSON.stringify(errors));
  });

test('there is nothing to take out of keys of 16 bits, and behind a norm of heads', () => {
  assert.equal(quantizers({ bits: 4 }).keyOffset, 'bias');
  assert.equal(quantizers({ bits: 16 }).keyOffset, undefined);
  assert.equal(quantizers({ bits: 4, offset: 'none' }).keyOffset, undefined);
  assert.equal(quantizers({ bits: 4 }, { ...config, qkNorm: true }).keyOffset, undefined);
  assert.equal(quantizers({ bits: 4 }, { ...config, attentionBias: false }).keyOffset, undefined);
});
