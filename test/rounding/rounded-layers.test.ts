/** A damaged layer is found before anything is computed with it, and is made again. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  type DenseMatrix,
  preparedTensors,
  roundedValues,
} from '../../src/engine/network/rounded-weights.ts';
import { RoundedLayers, type WeightSizes } from '../../src/engine/rounding/rounded-layers.ts';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { readTensor } from '../../src/formats/tensor-io.ts';
import { LINEARS, type Linear } from '../../src/protocol/block.ts';
import { recordOf } from '../../src/protocol/records.ts';
import { float32, type HostTensor } from '../../src/protocol/tensor.ts';
import { temporaryFolder } from '../formats/support.ts';

const SIZES: WeightSizes = recordOf(LINEARS, () => [2, 4] as const);
const RECORD = { method: 'gptq', errors: [{ linear: 'q', error: 0.1, nearest: 0.2 }], seconds: 1 };

type Change = (tensors: Record<string, HostTensor>, metadata: Record<string, string>) => void;

/** A layer of groups of two columns, changed after it was written. */
async function layer(
  t: TestContext,
  change: Change,
  dense: Partial<Record<Linear, DenseMatrix>> | null = null,
): Promise<RoundedLayers> {
  const folder = temporaryFolder(t);
  const layers = new RoundedLayers(folder, 'key', { sizes: SIZES, dense: dense !== null });
  const grid = () => Float32Array.of(1, 2, 3, 4);
  const matrix = () => ({ rows: 2, columns: 4, codes: new Int8Array(8), scale: grid(), zero: grid() });
  const weights = recordOf(LINEARS, matrix);
  await layers.write(0, { ...weights, ...dense }, RECORD);
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

const NUMBERS = [0.5, -1, 2, 0, 3, -0.25, 1, 8];

/** The same eight numbers, which all three types hold exactly. */
const DENSE: Readonly<Record<string, HostTensor>> = {
  float32: float32([2, 4], Float32Array.from(NUMBERS)),
  float16: halves('float16', [0x3800, 0xbc00, 0x4000, 0, 0x4200, 0xb400, 0x3c00, 0x4800]),
  bfloat16: halves('bfloat16', [0x3f00, 0xbf80, 0x4000, 0, 0x4040, 0xbe80, 0x3f80, 0x4100]),
};

function halves(dtype: 'float16' | 'bfloat16', bits: readonly number[]): HostTensor {
  return { kind: 'host', dtype, dims: [2, 4], data: Uint16Array.from(bits) };
}

const denseOf = (values: HostTensor): DenseMatrix => ({ rows: 2, columns: 4, values });

for (const [dtype, values] of Object.entries(DENSE))
  test(`a dense matrix of ${dtype} beside grids is read as it was written`, async (t) => {
    const layers = await layer(t, () => {}, { up: denseOf(values) });
    assert.deepEqual(layers.record(0), RECORD);
    const { up, q } = layers.read(0);
    assert.deepEqual(up, denseOf(values));
    assert.deepEqual(Array.from(roundedValues(up)), NUMBERS);
    assert.deepEqual(preparedTensors('up', up, false), {
      'up.prepared': float32([2, 4], Float32Array.from(NUMBERS)),
    });
    assert.ok('codes' in q, 'the others stay on their grids');
  });

test('a dense matrix is no result of a method that rounds to grids', async (t) => {
  const layers = await layer(t, () => {}, { up: denseOf(DENSE.float32!) });
  assert.equal(new RoundedLayers(layers.folder, 'key', { sizes: SIZES }).record(0), null);
});

const DENSE_DAMAGES: Readonly<Record<string, Change>> = {
  'a dense NaN': put('up.values', float32([2, 4], new Float32Array(8).fill(Number.NaN))),
  'a dense infinity of float16': put('up.values', halves('float16', [0x7c00, 0, 0, 0, 0, 0, 0, 0])),
  'dense values of other rows': put('up.values', float32([4, 2], new Float32Array(8))),
  'dense values of bytes': put('up.values', codes(2, 4)),
  'no dense values': (tensors) => {
    delete tensors['up.values'];
  },
};

for (const [name, change] of Object.entries(DENSE_DAMAGES))
  test(`damaged: ${name}`, async (t) => {
    const layers = await layer(t, change, { up: denseOf(DENSE.float32!) });
    assert.equal(layers.record(0), null);
  });
