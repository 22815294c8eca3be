/** A damaged layer is found before anything is computed with it, and is made again. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { RoundedLayers, type WeightSizes } from '../../src/engine/rounding/rounded-layers.ts';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { readTensor } from '../../src/formats/tensor-io.ts';
import { LINEARS } from '../../src/protocol/block.ts';
import { recordOf } from '../../src/protocol/records.ts';
import { float32, type HostTensor } from '../../src/protocol/tensor.ts';
import { temporaryFolder } from '../formats/support.ts';

const SIZES: WeightSizes = recordOf(LINEARS, () => [2, 4] as const);
const RECORD = { method: 'gptq', errors: [{ linear: 'q', error: 0.1, nearest: 0.2 }], seconds: 1 };

type Change = (tensors: Record<string, HostTensor>, metadata: Record<string, string>) => void;

/** A layer of groups of two columns, changed after it was written. */
async function layer(t: TestContext, change: Change): Promise<RoundedLayers> {
  const folder = temporaryFolder(t);
  const layers = new RoundedLayers(folder, 'key', { sizes: SIZES });
  const grid = () => Float32Array.of(1, 2, 3, 4);
  const matrix = () => ({ rows: 2, columns: 4, codes: new Int8Array(8), scale: grid(), zero: grid() });
  await layers.write(0, recordOf(LINEARS, matrix), RECORD);
  const path = join(folder, 'layer-0000.safetensors');
  const header = readSafetensorsHeader(path);
  const tensors = Object.fromEntries([...header.tensors].map(([name, file]) => [name, readTensor(file)]));
  const metadata = { ...header.metadata };
  change(tensors, metadata);
  await writeSafetensors(path, tensors, metadata);
  return layers;
}

test('a sound layer is kept', async (t) => {
  const layers = await layer(t, () => {});
  assert.deepEqual(layers.record(0), RECORD);
  assert.equal(layers.isComplete(1), true);
});

const codes = (rows: number, columns: number): HostTensor => ({
  kind: 'host',
  dtype: 'int8',
  dims: [rows, columns],
  data: new Int8Array(rows * columns),
});

const put =
  (name: string, tensor: HostTensor): Change =>
  (tensors) => {
    tensors[name] = tensor;
  };
const says =
  (record: string): Change =>
  (_, metadata) => {
    metadata.record = record;
  };

const DAMAGES: Readonly<Record<string, Change>> = {
  'a NaN in a scale': put('q.scale', float32([2, 2], Float32Array.of(1, Number.NaN, 1, 1))),
  'an infinite zero point': put(
    'down.zero',
    float32([2, 2], Float32Array.of(1, 1, 1, Number.POSITIVE_INFINITY)),
  ),
  'codes in float32': put('k.codes', float32([2, 4], new Float32Array(8))),
  'half of the rows': put('up.codes', codes(1, 4)),
  'half of the columns': put('up.codes', codes(2, 2)),
  'a scale of fewer rows': put('v.scale', float32([1, 2], new Float32Array(2))),
  'groups that do not divide a row': put('o.scale', float32([2, 3], new Float32Array(6))),
  'no zero points': (tensors) => {
    delete tensors['gate.zero'];
  },
  'a record that is not JSON': says('{'),
  'a record of another shape': says('{"method":4}'),
  'a record that is null': says('null'),
};

for (const [name, change] of Object.entries(DAMAGES))
  test(`damaged: ${name}`, async (t) => {
    const layers = await layer(t, change);
    assert.equal(layers.record(0), null);
    assert.equal(layers.isComplete(1), false);
  });
