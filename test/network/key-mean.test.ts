/**
 * Keys that are quantized without their mean: the mean is that of loops, and a mean that is the bias of the keys gives
 * the bits of a network that takes out the bias, in every form that has one.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { keyMeans } from '../../src/engine/calibration/key-means.ts';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { Decoder } from '../../src/engine/generate/decoder.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { type Checkpoint, openCheckpoint, withKeyMeans } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { chosenBy } from '../../src/engine/plan/key-offset.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { type FileTensor, float32, type Tensor } from '../../src/protocol/tensor.ts';
import { deployedGolden, type Setting } from '../helpers/deployed-golden.ts';
import { differentWindows } from '../helpers/golden-network.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { goldenFolder, readGolden } from '../model/goldens.ts';

let runtimes: readonly Runtime[];
before(async () => {
  runtimes = await Promise.all(KERNELS.map((kernels) => createRuntime({ kernels, threads: 1 })));
});
after(() => {
  for (const runtime of runtimes) runtime.close();
});

const numbers = (tensor: Tensor | undefined): number[] => (tensor ? [...toFloat32(tensor)] : []);

/** Root mean square normalisation with a gain. */
function normed(x: readonly number[], gain: readonly number[], epsilon: number): number[] {
  const power = x.reduce((sum, value) => sum + value * value, 0) / x.length;
  return x.map((value, i) => (value / Math.sqrt(power + epsilon)) * gain[i]!);
}

/** The first layer's keys before RoPE, a row for each token, in float64 loops. */
function keysInLoops(checkpoint: Checkpoint, ids: readonly number[]): number[][] {
  const { hiddenSize: d, rmsNormEps, kvHeads, headDim } = checkpoint.config;
  const layer = checkpoint.layer(0);
  const [embedding, gain, weight] = [checkpoint.embedding, layer.inputNorm, layer.k].map(numbers) as [
    number[],
    number[],
    number[],
  ];
  const [bias, kNorm] = [numbers(layer.kBias), numbers(layer.kNorm)];
  return ids.map((id) => {
    const x = normed(embedding.slice(id * d, (id + 1) * d), gain, rmsNormEps);
    const key = Array.from({ length: kvHeads * headDim }, (_, row) =>
      x.reduce((sum, value, i) => sum + value * weight[row * d + i]!, bias[row] ?? 0),
    );
    if (kNorm.length === 0) return key;
    return Array.from({ length: kvHeads }, (_, head) =>
      normed(key.slice(head * headDim, (head + 1) * headDim), kNorm, rmsNormEps),
    ).flat();
  });
}

function columnMeans(rows: readonly (readonly number[])[]): number[] {
  return rows[0]!.map((_, column) => rows.reduce((sum, row) => sum + row[column]!, 0) / rows.length);
}

const meanInLoops = (checkpoint: Checkpoint, ids: readonly number[]): number[] =>
  columnMeans(keysInLoops(checkpoint, ids));

const PLAIN = { mode: 'plain', quantizers: FULL_PRECISION, maps: NO_MAPS, centreEmbedding: false } as const;

for (const name of ['llama', 'llama-biases-linear', 'qwen3'] as const)
  test(`${name}: the mean of the keys is that of loops`, async () => {
    const checkpoint = await openCheckpoint(goldenFolder(name));
    const blocks = differentWindows(checkpoint.config, 3, 10);
    const expected = meanInLoops(
      checkpoint,
      blocks.flatMap((ids) => [...ids]),
    );
    const largest = Math.max(...expected.map(Math.abs));
    for (const runtime of runtimes) {
      const cache = new ProgramCache(runtime);
      const { means } = await keyMeans(cache, new Network(cache, checkpoint, PLAIN), blocks);
      assert.equal(means.length, checkpoint.config.layers);
      // Sums of 32 products, norms and a mean of 30 in float32.
      for (const [i, value] of means[0]!.data.entries())
        assert.ok(
          Math.abs(value - expected[i]!) < 64 * 2 ** -23 * largest,
          `${i}: ${value} for ${expected[i]}`,
        );
      await cache.release();
    }
  });

/** A head of a key turned by RoPE, whose pairs lie half a head apart. */
function turned(head: readonly number[], position: number, theta: number): number[] {
  const half = head.length / 2;
  return head.map((value, i) => {
    const angle = position * theta ** (-(i % half) / half);
    const other = i < half ? -head[i + half]! : head[i - half]!;
    return value * Math.cos(angle) + other * Math.sin(angle);
  });
}

/** Σ(Q(x) − x)² on the asymmetric grid of one scale, with 0 in its range. */
function noiseOf(x: readonly number[], bits: number): number {
  const [low, high] = [Math.min(0, ...x), Math.max(0, ...x)];
  const step = (high - low) / (2 ** bits - 1);
  const zero = Math.round(-low / step);
  const rounded = (value: number) =>
    (Math.min(Math.max(Math.round(value / step) + zero, 0), 2 ** bits - 1) - zero) * step;
  return x.reduce((sum, value) => sum + (rounded(value) - value) ** 2, 0);
}

/** 10·log10 of the energy of keys over that of their rounding, behind RoPE, without a part, in float64 loops. */
function sqnrInLoops(
  { config }: Checkpoint,
  windows: readonly number[][][],
  part: readonly number[],
): number {
  const { kvHeads, headDim, ropeTheta } = config;
  let [noise, power] = [0, 0];
  for (const rows of windows)
    for (const [position, row] of rows.entries()) {
      power += row.reduce((sum, value) => sum + value ** 2, 0);
      const rest = row.map((value, i) => value - part[i]!);
      for (let head = 0; head < kvHeads; head++)
        noise += noiseOf(turned(rest.slice(head * headDim, (head + 1) * headDim), position, ropeTheta), 4);
    }
  return 10 * Math.log10(power / noise);
}

/** The first layer alone, with other weights of keys. */
function firstLayer(checkpoint: Checkpoint, k: Float32Array): Checkpoint {
  const layer = checkpoint.layer(0);
  // Programs take numbers in memory as well as those of files.
  const own = float32(layer.k.dims, k) as Tensor as FileTensor;
  return {
    ...checkpoint,
    config: { ...checkpoint.config, layers: 1 },
    layer: () => ({ ...layer, k: own }),
  };
}

/** W − W x̄ x̄ᵀ / |x̄|²: keys of inputs whose mean is x̄ then have none. */
function withoutMean({ k }: { readonly k: Tensor }, mean: readonly number[]): Float32Array {
  const energy = mean.reduce((sum, value) => sum + value * value, 0);
  const d = mean.length;
  const all = numbers(k);
  return Float32Array.from(all, (value, at) => {
    const row = all.slice(at - (at % d), at - (at % d) + d);
    const share = row.reduce((sum, other, i) => sum + other * mean[i]!, 0) / energy;
    return value - share * mean[at % d]!;
  });
}

test('the mean is chosen where keys are rounded better without it, by the errors of loops', async () => {
  const plain = await openCheckpoint(goldenFolder('llama'));
  const { config, embedding } = plain;
  const d = config.hiddenSize;
  const blocks = differentWindows(config, 3, 10);
  const [table, gain] = [embedding, plain.layer(0).inputNorm].map(numbers) as [number[], number[]];
  const inputs = blocks.flatMap((ids) =>
    [...ids].map((id) => normed(table.slice(id * d, (id + 1) * d), gain, config.rmsNormEps)),
  );
  const centred = firstLayer(plain, withoutMean(plain.layer(0), columnMeans(inputs)));
  // A direction that all keys have: the mean of the inputs, eight times over, in every channel.
  const far = numbers(centred.layer(0).k).map((value, at) => value + 8 * columnMeans(inputs)[at % d]!);
  const models = [
    ['none', centred],
    ['mean', firstLayer(plain, Float32Array.from(far))],
  ] as const;
  const keys = { ...FULL_PRECISION.keys, bits: 4, symmetric: false, group: config.headDim };
  const comparison = { quantizers: { ...FULL_PRECISION, keys }, maps: NO_MAPS };
  for (const runtime of runtimes)
    for (const [expected, checkpoint] of models) {
      const cache = new ProgramCache(runtime);
      const network = new Network(cache, checkpoint, PLAIN);
      const { sqnrDb } = await keyMeans(cache, network, blocks, [comparison]);
      const windows = blocks.map((ids) => keysInLoops(checkpoint, [...ids]));
      const mean = columnMeans(windows.flat());
      // On the border of two codes the error is the same on both sides: it moves by roundings of float32 alone.
      const near = (found: number, part: readonly number[]) =>
        assert.ok(Math.abs(found - sqnrInLoops(checkpoint, windows, part)) < 1e-3, `${expected}: ${found}`);
      near(
        sqnrDb[0]!.kept,
        mean.map(() => 0),
      );
      near(sqnrDb[0]!.apart, mean);
      assert.equal(chosenBy(sqnrDb[0]!, { attentionBias: false, qkNorm: false }).taken, expected);
      await cache.release();
    }
});

test('less than a tenth of a decibel is not worth a row for each position; the rest is the bias of models that have one', () => {
  const of = (gain: number, attentionBias: boolean, qkNorm = false) =>
    chosenBy({ kept: 10, apart: 10 + gain }, { attentionBias, qkNorm });
  assert.deepEqual(of(0.2, true), { taken: 'mean', rest: 'bias', sqnrDb: { rest: 10, mean: 10.2 } });
  assert.equal(of(0.09, true).taken, 'bias');
  assert.equal(of(-3, false).taken, 'none');
  assert.equal(of(0.09, true, true).taken, 'none', 'a norm of heads stands between the bias and RoPE');
});

const SETTINGS: readonly Setting[] = [
  { activations: 4, cache: 4, online: true },
  { activations: 8, cache: 8, online: false },
];

test('a mean that is the bias gives the bits of the network without its bias', async () => {
  const checkpoint = await openCheckpoint(goldenFolder('qwen2'));
  const means = Array.from({ length: checkpoint.config.layers }, (_, index) => {
    const bias = numbers(checkpoint.layer(index).kBias);
    return float32([1, bias.length], Float32Array.from(bias));
  });
  const ids = Int32Array.from(readGolden('qwen2').ids);
  for (const runtime of runtimes) {
    const cache = new ProgramCache(runtime);
    for (const setting of SETTINGS) {
      const of = (offset: 'bias' | 'mean') =>
        deployedGolden(cache, withKeyMeans(checkpoint, means), { ...setting, keyOffset: offset });
      const [bias, mean] = [of('bias'), of('mean')];
      assert.deepEqual(await sequenceLogits(mean, ids), await sequenceLogits(bias, ids));
      const [one, other] = [new Decoder(bias, 1, ids.length), new Decoder(mean, 1, ids.length)];
      for (const part of [ids.subarray(0, 5), ids.subarray(5, 6), ids.subarray(6, 7)])
        assert.deepEqual((await other.next(part)).data, (await one.next(part)).data);
    }
    await cache.release();
  }
});

test('behind a norm of heads, too, token by token has the logits of the whole text', async () => {
  const plain = await openCheckpoint(goldenFolder('qwen3'));
  const { kvHeads, headDim, vocabSize, layers } = plain.config;
  const far = float32(
    [1, kvHeads * headDim],
    Float32Array.from({ length: kvHeads * headDim }, (_, i) => Math.sin(i)),
  );
  const checkpoint = withKeyMeans(
    plain,
    Array.from({ length: layers }, () => far),
  );
  const ids = Int32Array.from(readGolden('qwen3').ids).subarray(0, 10);
  for (const runtime of runtimes) {
    const cache = new ProgramCache(runtime);
    const network = deployedGolden(cache, checkpoint, {
      activations: 8,
      cache: 8,
      online: true,
      keyOffset: 'mean',
    });
    const whole = await sequenceLogits(network, ids);
    const decoder = new Decoder(network, 1, ids.length);
    let [sum, all] = [0, 0];
    for (const [place] of ids.entries())
      for (const [i, value] of (await decoder.next(ids.subarray(place, place + 1))).data.entries()) {
        sum += (value - whole[place * vocabSize + i]!) ** 2;
        all += value ** 2;
      }
    // A number on the border of two codes may go to either (`quantized-decoder.test.ts`); a step is 2⁻⁸ of a range.
    assert.ok(Math.sqrt(sum / all) < 2 ** -8, String(Math.sqrt(sum / all)));
    await cache.release();
  }
});
