/** Caches of all layers in one piece of memory: tensors of their own, as if each had been made alone. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ProgramCache } from '../../src/engine/graph/program-cache.ts';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import type { LayerCache } from '../../src/engine/network/layer-cache.ts';
import { layerCaches } from '../../src/engine/network/layer-caches.ts';
import { FULL_PRECISION, type LayerQuantizers } from '../../src/engine/network/layer-shape.ts';
import { Network } from '../../src/engine/network/network.ts';
import { NO_MAPS } from '../../src/engine/network/seams.ts';
import { createRuntime } from '../../src/engine/runtime/index.ts';
import type { Runtime } from '../../src/engine/runtime/types.ts';
import type { HostTensor } from '../../src/protocol/tensor.ts';
import { goldenFolder } from '../model/goldens.ts';

const BATCH = 3;

let runtime: Runtime;
before(async () => {
  runtime = await createRuntime({ kernels: 'auto', threads: 1 });
});
after(() => runtime.close());

const quantizer = (includeZero: boolean) => ({
  ...{ bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero },
});
const PACKED: LayerQuantizers = { ...FULL_PRECISION, keys: quantizer(true), values: quantizer(false) };

async function networkOf(quantizers: LayerQuantizers, exceptions?: ReadonlyMap<number, LayerQuantizers>) {
  const checkpoint = await openCheckpoint(goldenFolder('llama'));
  const options = { mode: 'plain', quantizers, exceptions, maps: NO_MAPS, centreEmbedding: false } as const;
  return new Network(new ProgramCache(runtime), checkpoint, options);
}

/** All but the length, which is made anew each time. */
const tensorsOf = (caches: readonly LayerCache[]): HostTensor[] =>
  caches.flatMap(({ inputs }) =>
    Object.entries(inputs).flatMap(([name, tensor]) =>
      name === 'length' || tensor.kind !== 'host' ? [] : [tensor],
    ),
  );

/** Tokens with which numbers of one layer take 8 MB, so that both layers lie in one piece, and codes do too. */
const MANY = 2 ** 17;

for (const [name, quantizers, exceptions] of [
  ['numbers', FULL_PRECISION, undefined],
  ['halves', { ...FULL_PRECISION, input: quantizer(true) }, undefined],
  ['codes', PACKED, undefined],
  ['codes of one layer', FULL_PRECISION, new Map([[1, PACKED]])],
] as const)
  test(`caches of many tokens share memory and no byte of it: ${name}`, async () => {
    const network = await networkOf(quantizers, exceptions);
    const caches = layerCaches(network, BATCH, MANY);
    assert.equal(caches.length, network.layers);
    const tensors = tensorsOf(caches);
    assert.equal(new Set(tensors.map(({ data }) => data.buffer)).size, 1);
    const places = tensors
      .map(({ data }) => [data.byteOffset, data.byteOffset + data.byteLength] as const)
      .sort(([a], [b]) => a - b);
    for (const [i, [first]] of places.entries()) {
      assert.equal(first % 64, 0);
      assert.ok(i === 0 || first >= places[i - 1]![1]);
    }
    for (const { dims, data } of tensors)
      assert.equal(
        data.length,
        dims.reduce((a, b) => a * b, 1),
      );
  });

test('caches of few tokens have memory of their own', async () => {
  const tensors = tensorsOf(layerCaches(await networkOf(PACKED), BATCH, 16));
  assert.equal(new Set(tensors.map(({ data }) => data.buffer)).size, tensors.length);
});
