/** One run for a token has the bits of one run for each layer, on every architecture. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Decoder } from '../../src/engine/generate/decoder.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { type Checkpoint, openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { LayerCache } from '../../src/engine/network/layer-cache.ts';
import { FULL_PRECISION } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import { deployedGolden } from '../helpers/deployed-golden.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { GOLDEN_NAMES, goldenFolder, readGolden } from '../model/goldens.ts';

const skip = KERNELS.includes('native') ? false : 'the native operators are not built';

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ threads: 2 });
});
after(() => runtime.close());

/** A prompt of several tokens, then single ones. */
const [PROMPT, TOKENS] = [4, 9];

/** Two texts beside each other: the golden one, and it from its end. @returns tokens `from` … `to − 1` of both. */
function texts(name: string, from: number, to: number): Int32Array {
  const ids = [...readGolden(name).ids];
  return Int32Array.from([ids, ids.toReversed()].flatMap((text) => text.slice(from, to)));
}

/** Logits after each single token, by a run for each layer. */
async function layerByLayer(network: Network, name: string): Promise<number[]> {
  const { config } = network.checkpoint;
  const { quantizers } = network.options;
  const caches = Array.from(
    { length: config.layers },
    () => new LayerCache(config, quantizers, 2, PROMPT + TOKENS),
  );
  const through = async (from: number, to: number) => {
    let x = await network.embed(texts(name, from, to));
    for (const [layer, cache] of caches.entries())
      x = await network.extend(layer, x, { n: to - from, cache });
    return x;
  };
  await through(0, PROMPT);
  const found: number[] = [];
  for (let at = PROMPT; at < PROMPT + TOKENS; at++)
    found.push(...(await network.logits(await through(at, at + 1))).data);
  return found;
}

async function inOneRun(network: Network, name: string): Promise<number[]> {
  const decoder = new Decoder(network, 2, PROMPT + TOKENS);
  // Bound memory must not keep what was there before the text began again.
  await decoder.next(texts(name, 7, 8));
  decoder.rewind();
  await decoder.next(texts(name, 0, PROMPT));
  const found: number[] = [];
  for (let at = PROMPT; at < PROMPT + TOKENS; at++)
    found.push(...(await decoder.next(texts(name, at, at + 1))).data);
  return found;
}

function networksOf(cache: ProgramCache, checkpoint: Checkpoint): Network[] {
  const plain = { mode: 'plain', quantizers: FULL_PRECISION, maps: NO_MAPS, centreEmbedding: false } as const;
  return [
    new Network(cache, checkpoint, plain),
    deployedGolden(cache, checkpoint, { activations: 4, cache: 4, online: true }, { integer: 'always' }),
    deployedGolden(cache, checkpoint, { activations: 8, cache: 16, online: false }),
  ];
}

for (const name of GOLDEN_NAMES)
  test(`${name}: a token in one run`, { skip }, async () => {
    const checkpoint = await openCheckpoint(goldenFolder(name));
    const cache = new ProgramCache(runtime);
    for (const network of networksOf(cache, checkpoint)) {
      const { mode, integer } = network.options;
      const found = await inOneRun(network, name);
      assert.ok(new Set(found).size > checkpoint.config.vocabSize);
      assert.deepEqual(found, await layerByLayer(network, name), `${mode} ${integer}`);
    }
    await cache.release();
  });

test('there is none where the weights of one layer at a time are held', { skip }, async () => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const cache = new ProgramCache(runtime);
  const [, whole] = networksOf(cache, checkpoint);
  const { memory, options } = whole!;
  const network = new Network(cache, checkpoint, { ...options, memory: { ...memory, preparedBytes: 0 } });
  const caches = [new LayerCache(checkpoint.config, options.quantizers, 1, 4)];
  assert.equal(await network.tokenPass(caches), null);
  await cache.release();
});

test('a token that was cancelled is not in the text', { skip }, async () => {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const cache = new ProgramCache(runtime);
  const [network] = networksOf(cache, checkpoint);
  const decoder = new Decoder(network!, 1, 4);
  const id = Int32Array.of(3);
  const first = (await decoder.next(id)).data.slice();
  await assert.rejects(decoder.next(id, AbortSignal.abort()), Cancelled);
  assert.equal(decoder.length, 1);
  decoder.rewind();
  assert.deepEqual((await decoder.next(id)).data, first);
  await cache.release();
});
