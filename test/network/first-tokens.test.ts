/** First tokens whose keys and values are not rounded: what only they decide is exact, in a pass and token by token. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { Decoder } from '../../src/engine/generate/decoder.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { deployedGolden, type Setting } from '../helpers/deployed-golden.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { goldenFolder, readGolden } from '../model/goldens.ts';

let runtimes: readonly Runtime[];
before(async () => {
  runtimes = await Promise.all(KERNELS.map((kernels) => createRuntime({ kernels, threads: 1 })));
});
after(() => {
  for (const runtime of runtimes) runtime.close();
});

const ROUNDED: Setting = { activations: 16, cache: 4, online: true, weights: { bits: 16 } };
const EXACT: Setting = { ...ROUNDED, cache: 16 };
/** Float32 sums of 48 in two layers; the rotation of keys is taken before they are summed. */
const NOISE = 2 ** -14;

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i]!)));

for (const name of ['llama', 'qwen2'])
  test(`${name}: the first tokens are exact, and the next ones are not`, async () => {
    const checkpoint = await openCheckpoint(goldenFolder(name));
    const { vocabSize } = checkpoint.config;
    const ids = Int32Array.from(readGolden(name).ids);
    for (const runtime of runtimes) {
      const cache = new ProgramCache(runtime);
      const exact = await sequenceLogits(deployedGolden(cache, checkpoint, EXACT), ids);
      for (const firstTokens of [
        { keys: 3, values: 3 },
        { keys: 3, values: ids.length + 5 },
        { keys: ids.length, values: 3 },
      ]) {
        const network = deployedGolden(cache, checkpoint, { ...ROUNDED, firstTokens });
        const logits = await sequenceLogits(network, ids);
        const [first, rest] = [logits.subarray(0, 3 * vocabSize), logits.subarray(3 * vocabSize)];
        assert.ok(distance(first, exact) < NOISE, `${distance(first, exact)}`);
        assert.ok(distance(rest, exact.subarray(3 * vocabSize)) > 16 * NOISE);
        const decoder = new Decoder(network, 1, ids.length);
        for (const count of [2, 2, 1, 3]) {
          const { data } = await decoder.next(ids.subarray(decoder.length, decoder.length + count));
          const last = logits.subarray((decoder.length - 1) * vocabSize, decoder.length * vocabSize);
          assert.ok(distance(data, last) < NOISE, `${distance(data, last)} at ${decoder.length}`);
        }
      }
      const all = { keys: ids.length, values: ids.length };
      const whole = await sequenceLogits(
        deployedGolden(cache, checkpoint, { ...ROUNDED, firstTokens: all }),
        ids,
      );
      assert.ok(distance(whole, exact) < NOISE);
      await cache.release();
    }
  });
