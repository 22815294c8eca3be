/** Token by token with kept keys and values, the network gives the logits that it gives for the whole text at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decoder } from '../../src/engine/generate/decoder.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { goldenFolder } from '../model/goldens.ts';

const LENGTH = 20;
const BATCH = 3;

for (const kernels of KERNELS) {
  // Among them are tied output layers, norms of heads, biases, and a window that is shorter than the text.
  for (const name of ['llama3-scaled-tied', 'mistral-window-sharded', 'qwen2-window', 'qwen3']) {
    test(`${name}: token by token (${kernels} kernels)`, async () => {
      const checkpoint = await openCheckpoint(goldenFolder(name));
      const { vocabSize, layers } = checkpoint.config;
      const runtime = await createRuntime({ kernels, threads: 1 });
      const cache = new ProgramCache(runtime);
      const network = new Network(cache, checkpoint, {
        ...{ mode: 'plain', quantizers: FULL_PRECISION, maps: NO_MAPS, centreEmbedding: false },
      });
      const ids = Int32Array.from({ length: BATCH * LENGTH }, (_, i) => (i * 37 + 5) % vocabSize);
      let x = await network.embed(ids);
      for (let layer = 0; layer < layers; layer++)
        x = await network.layer(layer, x, { batch: BATCH, sequence: LENGTH });
      const whole = (await network.logits(x)).data;
      const largest = whole.reduce((most, logit) => Math.max(most, Math.abs(logit)), 0);
      const decoder = new Decoder(network, BATCH, LENGTH);
      for (let position = 0; position < LENGTH; position++) {
        const last = Int32Array.from({ length: BATCH }, (_, row) => ids[row * LENGTH + position]!);
        const { data } = await decoder.next(last);
        for (let i = 0; i < data.length; i++) {
          const [row, id] = [Math.floor(i / vocabSize), i % vocabSize];
          const expected = whole[(row * LENGTH + position) * vocabSize + id]!;
          // The same sums in another order: some hundred roundings of numbers up to the largest logit.
          assert.ok(
            Math.abs(data[i]! - expected) <= 300 * 2 ** -24 * largest,
            `${position}: ${data[i]} ${expected}`,
          );
        }
      }
      await cache.release();
      runtime.close();
    });
  }
}
