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

const bytes = (rows: number, columns: number, value = 0): HostTensor => ({
  kind: 'host',
  dtype: 'uint8',
  dims: [rows, columns],
  data: new Uint8Array(rows * columns).fill(value),
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
  'codes of a byte where halves are told': put('up.codes', codes(2, 4)),
  'half of the rows': put('up.codes', bytes(1, 2)),
  'half of the columns': (tensors, metadata) => {
    tensors['up.codes'] = bytes(2, 1);
    metadata.columns = JSON.stringify(recordOf(LINEARS, (linear) => (linear === 'up' ? 2 : 4)));
  },
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

/** Codes of halves of bytes that do not fit what the file or the model says. */
const HALVED: Readonly<Record<string, readonly [Change, RegExp]>> = {
  'too few bytes in a row': [
    put('up.codes', bytes(2, 1)),
    /up\.codes in rows of 1 bytes, where 4 codes take 2/,
  ],
  'too many bytes in a row': [
    put('up.codes', bytes(2, 3)),
    /up\.codes in rows of 3 bytes, where 4 codes take 2/,
  ],
  'columns of no size': [told({ columns: '{"up":0}' }), /does not say how many columns its codes have/],
  'no columns': [told({ columns: '{' }), /does not say how many columns its codes have/],
  'columns of some': [told({ columns: '{"q":4}' }), /k\.codes neither as bytes nor as halves of bytes/],
  'a later version': [told({ version: '3' }), /is of version "3" of rounded layers/],
};

function told(change: Readonly<Record<string, string>>): Change {
  return (_, metadata) => Object.assign(metadata, change);
}

for (const [name, [change, message]] of Object.entries(HALVED))
  test(`damaged: ${name}`, async (t) => {
    const layers = await layer(t, change);
    assert.equal(layers.record(0), null);
    assert.throws(() => layers.read(0), { message });
  });

/** A layer of matrices of these codes, written and read again. */
async function written(t: TestContext, rows: number, columns: number, codes: Int8Array) {
  const layers = new RoundedLayers(temporaryFolder(t), 'key');
  const grid = () => Float32Array.from({ length: rows }, (_, row) => row + 1);
  const weights = recordOf(LINEARS, () => ({ rows, columns, codes, scale: grid(), zero: grid() }));
  await layers.write(0, weights, RECORD);
  assert.deepEqual(layers.record(0), RECORD);
  assert.deepEqual(layers.read(0), weights);
  const path = join(layers.folder, 'layer-0000.safetensors');
  return { layers, path, file: readSafetensorsHeader(path) };
}

test('two codes of 4 bits lie in a byte, in rows of any length', async (t) => {
  for (const [rows, columns] of [
    [1, 1],
    [3, 2],
    [2, 5],
    [16, 33],
  ] as const) {
    const all = Int8Array.from({ length: rows * columns }, (_, i) => ((i * 7) % 16) - 8);
    const { file } = await written(t, rows, columns, all);
    const { dtype, dims } = file.tensors.get('q.codes')!;
    assert.deepEqual([dtype, dims], ['uint8', [rows, Math.ceil(columns / 2)]]);
    assert.deepEqual([file.metadata.format, file.metadata.version], ['spinquant rounded layer', '2']);
  }
  const { file } = await written(t, 1, 5, Int8Array.of(-8, 7, -1, 0, 3));
  // The even column is in the lower half.
  assert.deepEqual([...(readTensor(file.tensors.get('q.codes')!).data as Uint8Array)], [0x78, 0x0f, 0x03]);
});

test('codes of more than 4 bits take a byte each', async (t) => {
  for (const code of [-9, 8, 127]) {
    const { file } = await written(t, 2, 3, Int8Array.of(0, 0, 0, code, 0, 0));
    assert.equal(file.tensors.get('q.codes')!.dtype, 'int8');
  }
});

test('something behind the last code of an odd row is a damage', async (t) => {
  const { layers, path, file } = await written(t, 2, 3, new Int8Array(6));
  const tensors = Object.fromEntries([...file.tensors].map(([name, tensor]) => [name, readTensor(tensor)]));
  await writeSafetensors(path, { ...tensors, 'up.codes': bytes(2, 2, 0x10) }, file.metadata);
  assert.throws(() => layers.read(0), /up\.codes with something behind the 3 codes of a row\./);
});

test('files of the version before are read: a byte for each code, and nothing of columns', async (t) => {
  const layers = await layer(t, (tensors, metadata) => {
    for (const linear of LINEARS) tensors[`${linear}.codes`] = codes(2, 4);
    for (const name of ['format', 'version', 'columns']) delete metadata[name];
  });
  assert.deepEqual(layers.record(0), RECORD);
  const { q } = layers.read(0);
  assert.deepEqual('codes' in q && q.codes, new Int8Array(8));
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
