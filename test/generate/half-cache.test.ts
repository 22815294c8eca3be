/** Networks of which keys and values have 16 bits are deployed with a cache of halves: what that costs. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { lossSum } from '../../src/engine/generate/token-choice.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { layerCaches } from '../../src/engine/network/layer-caches.ts';
import type { Network } from '../../src/engine/network/network.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { deployedGolden } from '../helpers/deployed-golden.ts';
import { KERNELS } from '../helpers/runtimes.ts';

const skip = KERNELS.includes('native') ? false : 'the native operators are not built';
const DEMO = join(import.meta.dirname, '..', '..', 'examples', 'demo');
const [WINDOWS, WINDOW, PIECE] = [32, 128, 32];

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ kernels: 'auto', threads: 2 });
});
after(() => runtime.close());

/** With its standard error. */
function meanOf(values: readonly number[]): { readonly mean: number; readonly error: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, error: Math.sqrt(square / (values.length - 1) / values.length) };
}

/** Loss of a text whose pieces are read behind a cache of those before. */
async function lossOfPieces(network: Network, ids: Int32Array): Promise<number> {
  const caches = layerCaches(network, 1, ids.length);
  let loss = 0;
  for (let from = 0; from + PIECE <= ids.length; from += PIECE) {
    let x = await network.embed(ids.subarray(from, from + PIECE));
    for (const [layer, cache] of caches.entries()) x = await network.extend(layer, x, { n: PIECE, cache });
    const next = ids.subarray(from + 1, from + PIECE + 1);
    const { data } = await network.logits(x);
    loss += lossSum(data.subarray(0, next.length * network.checkpoint.config.vocabSize), next);
  }
  for (const { inputs } of caches) {
    const { pastKeys } = inputs;
    assert.equal(pastKeys?.dtype, 'float16');
  }
  return loss;
}

test('perplexity behind halves is that of the simulation to 0.1 %', { skip }, async (t) => {
  const checkpoint = await openCheckpoint(join(DEMO, 'model'));
  const { vocabSize } = checkpoint.config;
  const text = readFileSync(join(DEMO, 'test.txt'), 'utf8');
  const tokens = openTokenizer(join(DEMO, 'model')).encode(text, { source: 'The text' });
  const cache = new ProgramCache(runtime);
  for (const activations of [8, 4] as const) {
    const setting = { activations, cache: 16, online: true } as const;
    const simulated = deployedGolden(cache, checkpoint, setting);
    const deployed = deployedGolden(cache, checkpoint, setting, { integer: 'always' });
    const differences: number[] = [];
    for (let window = 0; window < WINDOWS; window++) {
      const ids = tokens.subarray(window * WINDOW, (window + 1) * WINDOW);
      const logits = await sequenceLogits(simulated, ids);
      const expected = lossSum(logits.subarray(0, -vocabSize), ids.subarray(1));
      differences.push(((await lossOfPieces(deployed, ids)) - expected) / (WINDOW - 1));
    }
    const { mean, error } = meanOf(differences);
    const what = `A${activations}: ${mean} ± ${error} nats a token`;
    t.diagnostic(what);
    // Halves are off by 2⁻¹¹ of a key or a value at most, 2⁻¹²·³ in the root mean square: behind attention a hundredth of
    // a step of 8 bits, and less of one of 4, where a row reaches to three deviations on either side. Some codes flip for
    // it, as many up as down. At 4 bits a flip moves a token's loss by so much that its mean needs three of its errors.
    const allowed = activations === 8 ? 0.001 : 0.001 + 3 * error;
    assert.ok(Math.abs(mean) <= allowed, what);
    assert.notEqual(mean, 0);
  }
  await cache.release();
});
