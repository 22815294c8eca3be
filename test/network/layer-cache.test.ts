/** A layer's cache of codes: tokens that come in pieces lie as if they had come at once. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { ActivationQuantizer } from '../../src/engine/graph/fused/fake-quantize.ts';
import { packCache } from '../../src/engine/graph/fused/pack-cache.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { Program } from '../../src/engine/graph/program.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { cacheBytes, shareOf16Bits } from '../../src/engine/network/cache-form.ts';
import { type GrownRows, LayerCache } from '../../src/engine/network/layer-cache.ts';
import { FULL_PRECISION, type LayerQuantizers } from '../../src/engine/network/layer-shape.ts';
import type { NetworkQuantizers } from '../../src/engine/network/network-quantizers.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import { float32ToFloat16 } from '../../src/formats/float-bits.ts';
import { float32, type HostTensor, type Tensor } from '../../src/protocol/tensor.ts';
import { goldenFolder } from '../model/goldens.ts';

const runtime = await createRuntime({ kernels: 'composed', threads: 1 });
after(() => runtime.close());
const { config: golden } = await openCheckpoint(goldenFolder('llama'));

const [BATCH, HEADS, WIDTH, TOKENS] = [2, 3, 20, 37];
const config = { ...golden, layers: 1, kvHeads: HEADS, headDim: WIDTH };
const KEYS = { bits: 4, symmetric: false, group: 5, clipRatio: 1, includeZero: true };
const VALUES = { bits: 8, symmetric: true, group: 0, clipRatio: 1, includeZero: false };
const CODES: LayerQuantizers = { ...FULL_PRECISION, keys: KEYS, values: VALUES };

/** Numbers that differ in every token, head and channel: token `first` and those behind it. */
function numbers(first: number, count: number, seed: number): Float32Array {
  return Float32Array.from({ length: BATCH * HEADS * count * WIDTH }, (_, i) => {
    const [channel, row] = [i % WIDTH, Math.floor(i / WIDTH)];
    return Math.sin(seed + channel + 17 * (first + (row % count)) + 331 * Math.floor(row / count));
  });
}

/** A layer adds this for these tokens. */
async function grown(first: number, count: number): Promise<GrownRows> {
  const graph = new Graph();
  const [x, y] = [0, 1].map((seed) => graph.reals([BATCH, HEADS, count, WIDTH], numbers(first, count, seed)));
  const [keys, values] = [packCache(x!, KEYS, 'keys'), packCache(y!, VALUES, 'values')];
  const outputs = {
    ...{ keyCodes: keys.codes, keyScales: keys.scales },
    ...{ valueCodes: values.codes, valueScales: values.scales },
  };
  const program = await Program.compile<Required<Omit<GrownRows, 'keys' | 'values'>>>(
    runtime,
    graph,
    outputs,
  );
  const rows = await program.run({});
  await program.release();
  return rows;
}

async function filled(pieces: readonly number[], quantizers: LayerQuantizers = CODES): Promise<LayerCache> {
  const cache = new LayerCache(config, quantizers, BATCH, TOKENS);
  for (const piece of pieces) cache.append(await grown(cache.length, piece), piece);
  return cache;
}

const bytesOf = (cache: LayerCache, name: string): Buffer => {
  const tensor = cache.inputs[name] as Extract<Tensor, { kind: 'host' }>;
  return Buffer.from(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
};

test('tokens that come in pieces lie as if they had come at once', async () => {
  const [whole, pieces] = [await filled([TOKENS]), await filled([1, 1, 18, 1, 16])];
  assert.equal(pieces.length, TOKENS);
  for (const name of ['pastKeyCodes', 'pastKeyScales', 'pastValueCodes', 'pastValueScales']) {
    assert.ok(bytesOf(whole, name).equals(bytesOf(pieces, name)), name);
    assert.ok(
      bytesOf(whole, name).some((byte) => byte !== 0),
      name,
    );
  }
});

test('a cache that forgot its tokens takes others in their place', async () => {
  const [cache, other] = [await filled([20, 17]), await filled([3])];
  assert.throws(() => cache.seek(38), /37 tokens has none at 38/);
  cache.seek(0);
  cache.append(await grown(0, 3), 3);
  const words = 16 * 4;
  // The first words of the first block: those of three tokens are new, the others stay.
  const [now, then] = [bytesOf(cache, 'pastKeyCodes'), bytesOf(other, 'pastKeyCodes')];
  assert.ok(now.subarray(0, 12).equals(then.subarray(0, 12)));
  assert.ok(!now.subarray(12, words).equals(then.subarray(12, words)));
  assert.equal(cache.length, 3);
  await assert.rejects(
    async () => cache.append(await grown(3, 35), 35),
    /37 tokens has 3 and takes no 35 more/,
  );
  // Back at what still lies there, of the first text behind the new words.
  cache.seek(37);
  assert.equal(cache.length, 37);
});

test('numbers are held as halves where one of the two has 16 bits', () => {
  const cache = new LayerCache(config, { ...FULL_PRECISION, values: VALUES }, BATCH, TOKENS);
  const dims = [BATCH, HEADS, 2, WIDTH];
  const halves = (seed: number): HostTensor<Uint16Array> => ({
    ...{ kind: 'host', dtype: 'float16', dims },
    data: float32ToFloat16(numbers(0, 2, seed)),
  });
  const rows = { keys: halves(0), values: halves(1) };
  cache.append(rows, 2);
  const { data, dtype } = cache.inputs.pastValues as Extract<Tensor, { kind: 'host' }>;
  assert.equal(dtype, 'float16');
  assert.deepEqual(data.slice(0, 2 * WIDTH), rows.values.data.slice(0, 2 * WIDTH));
});

test('a layer in full precision keeps float32', () => {
  const cache = new LayerCache(config, FULL_PRECISION, BATCH, TOKENS);
  const dims = [BATCH, HEADS, 2, WIDTH];
  const rows = { keys: float32(dims, numbers(0, 2, 0)), values: float32(dims, numbers(0, 2, 1)) };
  cache.append(rows, 2);
  const { data, dtype } = cache.inputs.pastValues as Extract<Tensor, { kind: 'host' }>;
  assert.equal(dtype, 'float32');
  assert.deepEqual(data.slice(0, 2 * WIDTH), rows.values.data.slice(0, 2 * WIDTH));
});

/** All layers with these keys and values. */
const network = (own: Record<'keys' | 'values', ActivationQuantizer>): NetworkQuantizers => ({
  quantizers: { ...FULL_PRECISION, ...own },
});

test('the memory of a cache is what is said of it', async () => {
  const activations = { ...FULL_PRECISION, input: VALUES };
  for (const quantizers of [CODES, activations, FULL_PRECISION]) {
    const cache = new LayerCache(config, quantizers, BATCH, TOKENS);
    const { length: _, ...tensors } = cache.inputs;
    const bytes = Object.keys(tensors).reduce((sum, name) => sum + bytesOf(cache, name).length, 0);
    assert.equal(bytes, BATCH * cacheBytes(config, TOKENS, { quantizers }));
  }
  const four = { keys: { ...KEYS, group: 0 }, values: { ...VALUES, bits: 4, symmetric: false } };
  const wide = { ...golden, headDim: 64 };
  // 32 bytes of codes, 4 of a scale and 2 of a zero point, of 128.
  assert.equal(shareOf16Bits(wide, network(four)), 38 / 128);
  assert.equal(shareOf16Bits(wide, { quantizers: activations }), 1);
  assert.equal(shareOf16Bits(wide, network(FULL_PRECISION)), 2);
});
