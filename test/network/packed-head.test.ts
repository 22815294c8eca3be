/**
 * The output layer in 8 bits, on every architecture, mapped and not.
 *
 * Ŵ = W + E with |E| ≤ s/2, s = max|W|/119 of a group, and x̂ = x + e with |e| ≤ t/2, t = max|x|/127 of a group. So logits
 * differ by Σ (x̂ E + e W) ≤ Σ (|x| + t/2) s/2 + |W| t/2. Sums of n float32 products add n·ε of Σ |x W|.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { packedHeadBytes } from '../../src/engine/network/packed-head.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import { elementCount } from '../../src/protocol/tensor.ts';
import { deployedGolden } from '../helpers/deployed-golden.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';

const RUNTIMES = new Map<string, Runtime>();
before(async () => {
  for (const kernels of KERNELS) RUNTIMES.set(kernels, await createRuntime({ kernels, threads: 1 }));
});
after(() => {
  for (const runtime of RUNTIMES.values()) runtime.close();
});

function largest(values: Float32Array | Float64Array): number {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most;
}

/** x/√(mean x² + ε). */
function normed(x: Float32Array, epsilon: number): Float64Array {
  const mean = x.reduce((sum, value) => sum + value * value, 0) / x.length;
  return Float64Array.from(x, (value) => value / Math.sqrt(mean + epsilon));
}

/** What a logit of x and a row may differ by. */
function boundOf(x: Float64Array, row: Float32Array): number {
  const group = x.length % 64 === 0 ? 64 : x.length;
  let bound = 0;
  for (let start = 0; start < x.length; start += group) {
    const [a, w] = [x.subarray(start, start + group), row.subarray(start, start + group)];
    const [step, weightStep] = [largest(a) / 127, largest(w) / 119];
    for (let i = 0; i < group; i++) {
      const [size, weight] = [Math.abs(a[i]!), Math.abs(w[i]!)];
      bound += ((size + step / 2) * weightStep + weight * step) / 2 + x.length * 2 ** -23 * size * weight;
    }
  }
  return bound;
}

for (const name of GOLDEN_NAMES)
  test(`${name}: logits by an output layer of 8 bits`, async () => {
    const checkpoint = await openCheckpoint(goldenFolder(name));
    const { vocabSize, hiddenSize, rmsNormEps } = checkpoint.config;
    const ids = Int32Array.from(readGolden(name).ids).subarray(0, 6);
    const found: Float32Array[] = [];
    for (const kernels of KERNELS) {
      const cache = new ProgramCache(RUNTIMES.get(kernels)!);
      const plain = {
        mode: 'plain',
        quantizers: FULL_PRECISION,
        maps: NO_MAPS,
        centreEmbedding: false,
      } as const;
      const networks = [
        new Network(cache, checkpoint, plain),
        deployedGolden(cache, checkpoint, { activations: 8, cache: 16, online: true }),
      ];
      for (const network of networks) {
        const x = await network.embed(ids);
        const exact = (await network.logits(x)).data;
        const before = network.weightBytes;
        network.setHeadBits(8);
        const { data } = await network.logits(x);
        const { data: rows } = await network.headRows(0, vocabSize);
        for (let token = 0; token < ids.length; token++) {
          const input = normed(x.data.subarray(token * hiddenSize, (token + 1) * hiddenSize), rmsNormEps);
          for (let id = 0; id < vocabSize; id++) {
            const bound = boundOf(input, rows.subarray(id * hiddenSize, (id + 1) * hiddenSize));
            const at = token * vocabSize + id;
            const off = Math.abs(data[at]! - exact[at]!);
            assert.ok(off <= bound, `${kernels} ${network.options.mode} ${at}: ${off} of ${bound}`);
          }
        }
        assert.notDeepEqual(data, exact);
        assert.equal(
          network.weightBytes - before,
          packedHeadBytes(vocabSize, hiddenSize) - bytesOfHead(cache, checkpoint),
        );
        network.setHeadBits(16);
        assert.deepEqual((await network.logits(x)).data, exact);
        found.push(data);
      }
      await cache.release();
    }
    assert.equal(found.length, 2 * KERNELS.length);
  });

/** Beside the embeddings: converted where a token has no product with what is stored. */
function bytesOfHead({ abilities, runtime }: ProgramCache, { lmHead, tiedEmbeddings }: Checkpoint): number {
  const type = runtime.inputType(lmHead.dtype);
  if (type === 'float16' || (type === 'bfloat16' && !abilities.bfloat16Products && !abilities.ownKernels))
    return elementCount(lmHead.dims) * Float32Array.BYTES_PER_ELEMENT;
  return tiedEmbeddings ? 0 : lmHead.byteLength;
}

test('packing can be stopped, and begun again', async () => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const cache = new ProgramCache(RUNTIMES.get(KERNELS.at(-1)!)!);
  const network = deployedGolden(cache, checkpoint, { activations: 8, cache: 16, online: true });
  const x = await network.embed(Int32Array.of(1));
  network.setHeadBits(8);
  await assert.rejects(network.logits(x, AbortSignal.abort()), Cancelled);
  assert.equal((await network.logits(x)).data.length, checkpoint.config.vocabSize);
  await cache.release();
});
