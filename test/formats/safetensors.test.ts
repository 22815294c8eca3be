import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readSafetensorsHeader } from '../../src/formats/safetensors.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { readTensor, toFloat32 } from '../../src/formats/tensor-io.ts';
import type { HostTensor, TensorData } from '../../src/protocol/tensor.ts';
import { BYTES_PER_ELEMENT, float32 } from '../../src/protocol/tensor.ts';
import { rejectsWith, temporaryFolder } from './support.ts';

function host(dtype: HostTensor['dtype'], dims: readonly number[], data: TensorData): HostTensor {
  return { kind: 'host', dtype, dims, data };
}

const EVERY_DTYPE: Record<string, HostTensor> = {
  flags: host('bool', [3], Uint8Array.of(1, 0, 1)),
  bytes: host('uint8', [2], Uint8Array.of(0, 255)),
  small: host('int8', [1, 3], Int8Array.of(-128, 0, 127)),
  words: host('int32', [2], Int32Array.of(-(2 ** 31), 2 ** 31 - 1)),
  longs: host('int64', [1], BigInt64Array.of(-(2n ** 63n))),
  halves: host('float16', [2], Uint16Array.of(0x3c00, 0xc000)),
  brains: host('bfloat16', [2], Uint16Array.of(0x3f80, 0xc000)),
  singles: host('float32', [2, 2], Float32Array.of(1.5, -0, 3e38, 1e-45)),
  doubles: host('float64', [], Float64Array.of(Math.PI)),
  nothing: host('float32', [0, 4], new Float32Array()),
  'name "quoted" ü': host('float32', [1], Float32Array.of(7)),
};

test('every dtype comes back, with shape and metadata', async (t) => {
  const path = join(temporaryFolder(t), 'a.safetensors');
  await writeSafetensors(path, EVERY_DTYPE, { format: 'pt', note: 'ü', step: '8' });
  const file = readSafetensorsHeader(path);
  assert.deepEqual(file.metadata, { format: 'pt', note: 'ü', step: '8' });
  assert.deepEqual([...file.tensors.keys()].sort(), Object.keys(EVERY_DTYPE).sort());
  for (const [name, tensor] of file.tensors) {
    assert.deepEqual(readTensor(tensor), EVERY_DTYPE[name], name);
    assert.equal(tensor.byteOffset % BYTES_PER_ELEMENT[tensor.dtype], 0, `${name} is aligned`);
  }
});

test('values as float32', () => {
  const expected: Record<string, number[]> = {
    halves: [1, -2],
    brains: [1, -2],
    small: [-128, 0, 127],
    longs: [-(2 ** 63)],
    doubles: [Math.fround(Math.PI)],
    flags: [1, 0, 1],
  };
  for (const [name, values] of Object.entries(expected))
    assert.deepEqual([...toFloat32(EVERY_DTYPE[name]!)], values);
});

test('equal tensors give equal bytes, whatever their order', async (t) => {
  const dir = temporaryFolder(t);
  const reversed = Object.fromEntries(Object.entries(EVERY_DTYPE).reverse());
  await writeSafetensors(join(dir, 'a'), EVERY_DTYPE);
  await writeSafetensors(join(dir, 'b'), reversed);
  assert.deepEqual(readFileSync(join(dir, 'a')), readFileSync(join(dir, 'b')));
});

test('file and lazy tensors can be written', async (t) => {
  const dir = temporaryFolder(t);
  await writeSafetensors(join(dir, 'a'), EVERY_DTYPE);
  const { tensors } = readSafetensorsHeader(join(dir, 'a'));
  const lazy = {
    kind: 'lazy',
    dtype: 'float32',
    dims: [1],
    load: async () => float32([1], Float32Array.of(9)),
  } as const;
  await writeSafetensors(join(dir, 'b'), { copied: tensors.get('singles')!, lazy });
  const written = readSafetensorsHeader(join(dir, 'b')).tensors;
  assert.deepEqual(readTensor(written.get('copied')!), EVERY_DTYPE.singles);
  assert.deepEqual([...toFloat32(written.get('lazy')!)], [9]);
});

test('a failed write leaves the old file and nothing else', async (t) => {
  const dir = temporaryFolder(t);
  const path = join(dir, 'a.safetensors');
  await writeSafetensors(path, { x: float32([1], Float32Array.of(1)) });
  const before = readFileSync(path);
  const broken = {
    kind: 'lazy',
    dtype: 'float32',
    dims: [2],
    load: () => float32([1], Float32Array.of(1)),
  } as const;
  await assert.rejects(writeSafetensors(path, { x: broken }), /announced/);
  assert.deepEqual(readFileSync(path), before);
  assert.deepEqual(readdirSync(dir), ['a.safetensors']);
});

function encode(header: string, data: number, length?: bigint): Uint8Array {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.length + data);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

function entry(
  begin: number,
  end: number,
  shape: unknown = [(end - begin) / 4],
  dtype: unknown = 'F32',
): string {
  return JSON.stringify({ dtype, shape, data_offsets: [begin, end] });
}

const FAULTS: [name: string, bytes: Uint8Array, code: string, message: RegExp][] = [
  ['an empty file', new Uint8Array(), 'truncated', /0 bytes/],
  ['a cut header', encode('{"a":', 0, 4000n), 'truncated', /header of 4000 bytes/],
  ['an absurd header size', encode('{}', 0, 2n ** 60n), 'header-size', /1152921504606846976/],
  ['a header that is no JSON', encode('{"a":', 0), 'json', /not valid JSON/],
  ['a header that is no object', encode('[]', 0), 'json', /not a JSON object/],
  ['a header that is no UTF-8', Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), 'json', /UTF-8/],
  ['metadata that is no text', encode('{"__metadata__":{"a":1}}', 0), 'metadata', /text to text/],
  [
    'a name given twice',
    encode(`{"a":${entry(0, 4)},"a":${entry(0, 4)}}`, 4),
    'duplicate',
    /tensor a is listed twice/,
  ],
  [
    'an unknown dtype',
    encode(`{"a":${entry(0, 4, [4], 'F8_E4M3')}}`, 4),
    'dtype',
    /tensor a.*"F8_E4M3".*BF16/,
  ],
  ['a dtype from the prototype', encode(`{"a":${entry(0, 4, [4], 'toString')}}`, 4), 'dtype', /"toString"/],
  ['a negative shape', encode(`{"a":${entry(0, 4, [-1])}}`, 4), 'shape', /tensor a has shape \[-1\]/],
  [
    'a shape beside its bytes',
    encode(`{"a":${entry(0, 4, [2])}}`, 4),
    'range',
    /has 4 bytes; F32 \[2\] takes 8/,
  ],
  ['offsets in reverse', encode(`{"a":${entry(4, 0, [0])}}`, 4), 'range', /data_offsets \[4,0\]/],
  ['missing offsets', encode('{"a":{"dtype":"F32","shape":[1]}}', 4), 'range', /data_offsets undefined/],
  ['an entry that is no object', encode('{"a":3}', 4), 'entry', /tensor a/],
  ['a range beyond the file', encode(`{"a":${entry(0, 8)}}`, 4), 'truncated', /tensor a reaches to byte/],
  [
    'overlapping ranges',
    encode(`{"a":${entry(0, 8)},"b":${entry(4, 12)}}`, 12),
    'overlap',
    /a and b overlap/,
  ],
  [
    'a hole',
    encode(`{"a":${entry(0, 4)},"b":${entry(8, 12)}}`, 12),
    'hole',
    /4 unused bytes before tensor b/,
  ],
  [
    'a header nested very deep',
    encode(`{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`, 0),
    'json',
    /the header nests .* more than 128 deep/,
  ],
  ['a byte order mark', encode('\ufeff{}', 0), 'json', /not a JSON object/],
  [
    'a key given twice',
    encode(`{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4),
    'duplicate',
    /tensor a has "dtype" listed twice/,
  ],
  ...(['-0', '1.0', '1e0'] as const).map((number): [string, Uint8Array, string, RegExp] => [
    `a shape of ${number}`,
    encode(
      `{"a":{"dtype":"F32","shape":[${number}],"data_offsets":[0,${number === '-0' ? 0 : 4}]}}`,
      number === '-0' ? 0 : 4,
    ),
    'number',
    new RegExp(`tensor a has the number ${number.replace('.', '\\.')};`),
  ]),
  [
    'offsets that no double holds',
    encode('{"a":{"dtype":"F32","shape":[1],"data_offsets":[9007199254740989,9007199254740993]}}', 4),
    'range',
    /tensor a has data_offsets/,
  ],
  [
    'a product that overflows before a zero',
    encode(`{"a":${entry(0, 0, [2 ** 40, 2 ** 40, 0])}}`, 0),
    'shape',
    /more than any file holds/,
  ],
  [
    'a shape too long to show',
    encode(`{"a":${entry(0, 4, new Array(5000).fill(2))}}`, 4),
    'shape',
    /^.{0,250}…, more than any file holds\.$/,
  ],
  ['bytes left over', encode(`{"a":${entry(0, 4)}}`, 12), 'hole', /8 unused bytes after a/],
];

for (const [name, bytes, code, message] of FAULTS) {
  test(`refused: ${name}`, async (t) => {
    const path = join(temporaryFolder(t), 'faulty.safetensors');
    writeFileSync(path, bytes);
    await rejectsWith(() => readSafetensorsHeader(path), `safetensors/${code}`, message);
    await rejectsWith(() => readSafetensorsHeader(path), `safetensors/${code}`, /faulty\.safetensors/);
  });
}

test('refused: no such file', async () => {
  await rejectsWith(
    () => readSafetensorsHeader('nowhere/x.safetensors'),
    'safetensors/unreadable',
    /nowhere/,
  );
});

test('a file that shrinks after its header was read is reported, not read as zeros', async (t) => {
  const path = join(temporaryFolder(t), 'a.safetensors');
  await writeSafetensors(path, { x: float32([8], new Float32Array(8)) });
  const tensor = readSafetensorsHeader(path).tensors.get('x')!;
  writeFileSync(path, readFileSync(path).subarray(0, -4));
  await rejectsWith(() => readTensor(tensor), 'file/truncated', /4 more bytes/);
});
