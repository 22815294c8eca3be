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
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import type { Tensor } from '../../src/protocol/tensor.ts';
import { float32 } from '../../src/protocol/tensor.ts';
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

/** The mean of the first layer's keys before RoPE, in float64 loops. */
function meanInLoops(checkpoint: Checkpoint, ids: readonly number[]): number[] {
  const { hiddenSize: d, rmsNormEps, kvHeads, headDim } = checkpoint.config;
  const layer = checkpoint.layer(0);
  const [embedding, gain, weight] = [checkpoint.embedding, layer.inputNorm, layer.k].map(numbers) as [
    number[],
    number[],
    number[],
  ];
  const [bias, kNorm] = [numbers(layer.kBias), numbers(layer.kNorm)];
  const sums = new Array<number>(kvHeads * headDim).fill(0);
  for (const id of ids) {
    const x = normed(embedding.slice(id * d, (id + 1) * d), gain, rmsNormEps);
    const key = sums.map((_, row) =>
      x.reduce((sum, value, i) => sum + value * weight[row * d + i]!, bias[row] ?? 0),
    );
    for (let head = 0; head < kvHeads; head++) {
      const part = key.slice(head * headDim, (head + 1) * headDim);
      const own = kNorm.length > 0 ? normed(part, kNorm, rmsNormEps) : part;
      for (const [i, value] of own.entries()) sums[head * headDim + i]! += value / ids.length;
    }
  }
  return sums;
}

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
      const options = {
        mode: 'plain',
        quantizers: FULL_PRECISION,
        maps: NO_MAPS,
        centreEmbedding: false,
      } as const;
      const means = await keyMeans(cache, new Network(cache, checkpoint, options), blocks);
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
