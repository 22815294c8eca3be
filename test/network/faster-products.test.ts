/** Which products a network takes where it may choose the faster ones, and that these are those that were asked for. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { IntegerProducts } from '../../src/engine/network/weight-form.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { deployedGolden, type Setting } from '../helpers/deployed-golden.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { goldenFolder, readGolden } from '../model/goldens.ts';

const skip = KERNELS.includes('native') ? false : 'the native operators are not built';
const SETTING: Setting = { activations: 4, cache: 4, online: true };

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ threads: 1 });
});
after(() => runtime.close());

/** Compiled programs of this runtime, with the abilities of another processor. */
function processor(
  abilities: Partial<Record<'multipliesBfloat16' | 'multipliesBytes', boolean>>,
): ProgramCache {
  const changed = { ...abilities, createSession: runtime.createSession.bind(runtime) };
  const values = Object.entries(changed).map(([name, value]) => [name, { value }]);
  return new ProgramCache(Object.create(runtime, Object.fromEntries(values)));
}

test('the form of weights follows from the processor and from what can be packed', { skip }, async () => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const form = (cache: ProgramCache, integer: IntegerProducts | undefined, weights: object = {}) =>
    deployedGolden(cache, checkpoint, { ...SETTING, weights }, { integer }).weightForm;
  const bytes = processor({ multipliesBfloat16: false, multipliesBytes: true });
  const tiles = processor({ multipliesBfloat16: true, multipliesBytes: true });
  const neither = processor({ multipliesBfloat16: false, multipliesBytes: false });
  assert.deepEqual(
    [bytes, tiles, neither].map((cache) => form(cache, 'if-faster')),
    ['packed', 'codes', 'numbers'],
  );
  assert.deepEqual(
    [bytes, tiles, neither].map((cache) => form(cache, 'always')),
    ['packed', 'packed', 'packed'],
  );
  for (const asked of ['never', undefined] as const)
    assert.deepEqual(
      [bytes, tiles, neither].map((cache) => form(cache, asked)),
      ['numbers', 'codes', 'numbers'],
    );
  assert.equal(form(bytes, 'if-faster', { bits: 8 }), 'numbers');
  assert.equal(form(bytes, 'if-faster', { symmetric: false, groupSize: 16 }), 'packed');
});

test('the faster products give the bits of those that were asked for', { skip }, async () => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const ids = Int32Array.from(readGolden('llama').ids);
  const logits = async (integer: IntegerProducts, multipliesBytes: boolean) => {
    const cache = processor({ multipliesBfloat16: false, multipliesBytes });
    const network = deployedGolden(cache, checkpoint, SETTING, { integer });
    let x = await network.embed(ids);
    for (let layer = 0; layer < network.layers; layer++)
      x = await network.layer(layer, x, { batch: 1, sequence: ids.length });
    const { data } = await network.logits(x);
    await cache.release();
    return data;
  };
  const [whole, float] = [await logits('always', true), await logits('never', true)];
  assert.deepEqual(await logits('if-faster', true), whole);
  assert.deepEqual(await logits('if-faster', false), float);
  assert.notDeepEqual(whole, float, 'float32 rounds sums');
});
