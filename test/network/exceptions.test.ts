/**
 * Layers and sites that are quantized otherwise than the rest: each layer computes what the same layer of a network does
 * in which all layers have its quantizers, in every form, and whoever sums up over layers counts each as it is.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { experimentSchema } from '../../src/config/index.ts';
import { sequenceLogits } from '../../src/engine/evaluate/perplexity.ts';
import { Decoder } from '../../src/engine/generate/decoder.ts';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { tokenCacheBytes } from '../../src/engine/network/cache-form.ts';
import { weightQuantizer } from '../../src/engine/network/layer-shape.ts';
import type { Network } from '../../src/engine/network/network.ts';
import { productsOf, readBy } from '../../src/engine/network/packed-weights.ts';
import { quantizersOf } from '../../src/engine/network/quantizers.ts';
import { roundWeights } from '../../src/engine/rounding/gptq/round-weights.ts';
import { RoundedLayers } from '../../src/engine/rounding/rounded-layers.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import { LINEARS } from '../../src/protocol/block.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { deployedGolden, type Setting } from '../helpers/deployed-golden.ts';
import { differentWindows } from '../helpers/golden-network.ts';
import { PLAIN_GPTQ } from '../helpers/gptq-options.ts';
import { KERNELS } from '../helpers/runtimes.ts';
import { noise, randomTensor, TINY_CONFIG } from '../helpers/tiny-network.ts';
import { goldenFolder, readGolden } from '../model/goldens.ts';

const FOUR: Setting = { activations: 4, cache: 4, online: true };
const EIGHT: Setting = { activations: 8, cache: 8, online: true, weights: { bits: 8 } };
const [a8, w8, kv8] = [
  { activations: { bits: 8 } },
  { weights: { bits: 8 } },
  { keys: { bits: 8 }, values: { bits: 8 } },
];
const MODEL = 'qwen2';

let runtimes: readonly Runtime[];
before(async () => {
  runtimes = await Promise.all(KERNELS.map((kernels) => createRuntime({ kernels, threads: 1 })));
});
after(() => {
  for (const runtime of runtimes) runtime.close();
});

const quantizers = (exceptions: readonly object[], layers: number) => {
  const settings = experimentSchema.parse({ model: 'm', quantization: { exceptions } });
  return quantizersOf(settings.quantization, settings.rotation, { ...TINY_CONFIG, layers });
};

test('each site of each layer has the bits of the last exception that names it', () => {
  const own = quantizers(
    [
      { layers: '1-3', sites: ['down', 'gate-up'], ...a8, ...w8 },
      { layers: [2], sites: 'down', activations: { bits: 16 } },
      { layers: '4', ...kv8 },
    ],
    6,
  );
  const at = (layer: number) => own.exceptions?.get(layer) ?? own.quantizers;
  const bits = (layer: number) => LINEARS.map((linear) => readBy(linear, at(layer)).bits).join(' ');
  assert.equal(bits(0), '4 4 4 4 4 4 4');
  assert.equal(bits(1), '4 4 4 4 8 8 8');
  assert.equal(bits(2), '4 4 4 4 8 8 16');
  const weights = (layer: number) =>
    LINEARS.map((linear) => weightQuantizer(linear, at(layer)).bits).join(' ');
  assert.equal(weights(3), '4 4 4 4 8 8 8');
  assert.equal(weights(4), '4 4 4 4 4 4 4');
  assert.deepEqual([at(4).keys.bits, at(3).keys.bits], [8, 4]);
  // Layers of equal quantizers share programs: those are found by the object, and by its contents.
  assert.equal(at(1), at(3));
  assert.equal(at(0), at(5));
  assert.equal(quantizers([{ layers: '0', ...{ activations: { bits: 4 } } }], 2).exceptions, undefined);
});

test('channels that share a scale are those of the last exception, and divide what the site holds', () => {
  const group = (size: number | null) => ({ activations: { groupSize: size } });
  const own = quantizers(
    [
      { layers: '0-1', ...group(4) },
      { layers: '1', sites: 'down', ...group(null) },
    ],
    3,
  );
  const groups = (layer: number) =>
    LINEARS.map((linear) => readBy(linear, own.exceptions?.get(layer) ?? own.quantizers).group).join(' ');
  const { headDim } = TINY_CONFIG;
  assert.equal(groups(0), `4 4 4 ${headDim} 4 4 4`);
  assert.equal(groups(1), `4 4 4 ${headDim} 4 4 0`);
  assert.equal(groups(2), `0 0 0 ${headDim} 0 0 0`);
  assert.throws(
    () => quantizers([{ sites: 'gate-up', ...group(7) }], 1),
    /groupSize is 7, which does not divide the \d+ channels that gate and up read/,
  );
});

test('an exception of what has 16 bits everywhere changes nothing', () => {
  const { quantization, rotation } = experimentSchema.parse({
    model: 'm',
    quantization: { activations: { bits: 16 }, exceptions: [a8] },
  });
  assert.equal(quantizersOf(quantization, rotation, TINY_CONFIG).exceptions, undefined);
});

/** Layer `index` on the same numbers. */
async function outputOf(network: Network, index: number): Promise<Float32Array> {
  const { hiddenSize } = network.checkpoint.config;
  const x = randomTensor([6, hiddenSize], noise(5));
  const y = await network.layer(index, float32(x.dims, Float32Array.from(x.data)), { batch: 1, sequence: 6 });
  return y.data;
}

/** Twelve operations of a layer, of sums of up to 48 products: see `integer-products.test.ts`. */
const ROUNDING = 4 * 12 * Math.sqrt(48) * 2 ** -23;

function near(a: Float32Array, b: Float32Array): void {
  const far = Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
  const most = Math.max(...b.map(Math.abs));
  assert.ok(far <= ROUNDING * most, `${far} of ${most}`);
}

for (const integer of ['never', 'always'] as const) {
  test(`a layer with exceptions is that of a network that has them everywhere (whole numbers: ${integer})`, async () => {
    const checkpoint = await openCheckpoint(goldenFolder(MODEL));
    for (const runtime of runtimes) {
      const cache = new ProgramCache(runtime);
      const exceptions = [{ layers: [1], ...a8, ...w8, ...kv8 }];
      const mixed = deployedGolden(cache, checkpoint, { ...FOUR, exceptions }, { integer });
      const [four, eight] = [FOUR, EIGHT].map((setting) =>
        deployedGolden(cache, checkpoint, setting, { integer }),
      );
      assert.deepEqual(await outputOf(mixed, 0), await outputOf(four!, 0));
      // Products of numbers sum in the order of their form, which a network of 8-bit weights chooses for itself.
      near(await outputOf(mixed, 1), await outputOf(eight!, 1));
      assert.notDeepEqual(await outputOf(mixed, 1), await outputOf(four!, 1));
      await cache.release();
    }
  });
}

test('products of one input may be of both kinds: one weight has 8 bits, the others 4', async () => {
  const checkpoint = await openCheckpoint(goldenFolder(MODEL));
  for (const runtime of runtimes) {
    const cache = new ProgramCache(runtime);
    const built = (integer: 'always' | 'never') => {
      const network = deployedGolden(cache, checkpoint, FOUR, { integer });
      const { quantizers: own } = network.options;
      const otherWeights = { k: { ...own.weights, bits: 8 } };
      return deployedGolden(cache, checkpoint, FOUR, {
        integer,
        exceptions: new Map([[0, { ...own, otherWeights }]]),
      });
    };
    const [whole, numbers] = [await outputOf(built('always'), 0), await outputOf(built('never'), 0)];
    near(whole, numbers);
    await cache.release();
  }
});

test('token by token, a network with exceptions has the logits of the whole text', async () => {
  const checkpoint = await openCheckpoint(goldenFolder(MODEL));
  const { vocabSize } = checkpoint.config;
  const ids = Int32Array.from(readGolden(MODEL).ids).subarray(0, 12);
  for (const runtime of runtimes) {
    const cache = new ProgramCache(runtime);
    // One layer keeps codes of 8 bits, the other numbers, of which keys alone are rounded.
    const exceptions = [
      { layers: [0], ...kv8, sites: 'down', ...a8 },
      { layers: [1], values: { bits: 16 } },
    ];
    const network = deployedGolden(cache, checkpoint, { ...FOUR, exceptions });
    const decoder = new Decoder(network, 1, ids.length);
    const whole = await sequenceLogits(network, ids);
    let [sum, all] = [0, 0];
    for (const [place] of ids.entries()) {
      const { data } = await decoder.next(ids.subarray(place, place + 1));
      for (const [i, value] of data.entries()) {
        sum += (value - whole[place * vocabSize + i]!) ** 2;
        all += value ** 2;
      }
    }
    // A number on the border of two codes may go to either (`quantized-decoder.test.ts`).
    assert.ok(Math.sqrt(sum / all) < 0.02, String(Math.sqrt(sum / all)));
    await cache.release();
  }
});

test('GPTQ writes the codes of an exception in its bits, and a network reads them', async () => {
  const checkpoint = await openCheckpoint(goldenFolder(MODEL));
  const folder = await mkdtemp(join(tmpdir(), 'exceptions-'));
  const cache = new ProgramCache(runtimes[0]!);
  try {
    const exceptions = [{ layers: [1], sites: ['down', 'qkv'], ...w8 }];
    const setting = { ...FOUR, activations: 16, cache: 16, exceptions } as const;
    const options = PLAIN_GPTQ;
    const blocks = differentWindows(checkpoint.config, 4, 16);
    const layers = new RoundedLayers(folder, 'key');
    const rounding = deployedGolden(cache, checkpoint, setting);
    for await (const _ of roundWeights(cache, { network: rounding, blocks, options, layers })) void _;
    const most = (layer: number, linear: (typeof LINEARS)[number]): number => {
      const matrix = layers.read(layer)[linear];
      return 'codes' in matrix ? Math.max(...matrix.codes.map(Math.abs)) : 0;
    };
    assert.ok(most(1, 'down') > 64 && most(1, 'k') > 64);
    assert.ok(most(0, 'down') <= 8 && most(1, 'up') <= 8 && most(0, 'k') <= 8);
    for (const integer of ['never', 'always'] as const) {
      const network = deployedGolden(
        cache,
        checkpoint,
        { ...setting, activations: 8 },
        { rounded: layers, integer },
      );
      assert.ok((await outputOf(network, 1)).every(Number.isFinite));
    }
  } finally {
    await cache.release();
    await rm(folder, { recursive: true });
  }
});

test('products and bytes are counted layer by layer', () => {
  const own = quantizers(
    [
      { layers: '0-1', sites: 'down', ...w8 },
      { layers: [2], ...kv8 },
    ],
    4,
  );
  const config = { ...TINY_CONFIG, layers: 4 };
  const { integer, others } = productsOf(own, config, false);
  assert.deepEqual(
    integer,
    LINEARS.filter((linear) => linear !== 'down'),
  );
  assert.deepEqual(others, [{ linears: ['down'], reason: 'weights have 8 bits in 2 of 4 layers' }]);
  const [plain, eight] = [quantizers([], 4), quantizers([kv8], 4)];
  const bytes = (network: Parameters<typeof tokenCacheBytes>[1]): number => tokenCacheBytes(config, network);
  assert.equal(bytes(own), (3 * bytes(plain) + bytes(eight)) / 4);
});
