import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { strToU8, unzipSync, zipSync } from 'fflate';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { readTorchTensors } from '../../src/formats/torch-zip.ts';
import { writeTorchTensors } from '../../src/formats/torch-zip-write.ts';
import { float32 } from '../../src/protocol/tensor.ts';
import { rejectsWith, temporaryFolder } from './support.ts';

const GOLDENS = join(import.meta.dirname, '..', 'goldens', 'torch');

/** The goldens hold (i + 1) / 8. */
function ramp(count: number, add = 0): number[] {
  return Array.from({ length: count }, (_, i) => (i + 1) / 8 + add);
}

function read(name: string): Record<string, [dtype: string, dims: readonly number[], values: number[]]> {
  const tensors = [...readTorchTensors(join(GOLDENS, name))];
  return Object.fromEntries(tensors.map(([key, x]) => [key, [x.dtype, x.dims, [...toFloat32(x)]]]));
}

for (const name of ['dict.bin', 'cuda.bin']) {
  test(`rotations as torch.save writes them: ${name}`, () => {
    assert.deepEqual(read(name), {
      R1: ['float32', [4, 4], ramp(16)],
      'model.layers.0.self_attn.R2': ['float32', [2, 2], ramp(4)],
      'model.layers.1.self_attn.R2': ['float32', [2, 2], ramp(4, 1)],
    });
  });
}

test('views become contiguous', () => {
  const base = (row: number, column: number): number => (row * 6 + column + 1) / 8;
  const grid = (rows: number[], columns: number[]): number[] =>
    rows.flatMap((r) => columns.map((c) => base(r, c)));
  const transposed = [0, 1, 2, 3, 4, 5].flatMap((c) => [0, 1, 2, 3].map((r) => base(r, c)));
  assert.deepEqual(read('views.bin'), {
    transposed: ['float32', [6, 4], transposed],
    slice: ['float32', [2, 3], grid([1, 2], [2, 3, 4])],
    row: ['float32', [6], grid([2], [0, 1, 2, 3, 4, 5])],
    scalar: ['float32', [], [base(3, 5)]],
    empty: ['float32', [0, 6], []],
    expanded: ['float32', [4, 3], grid([0, 1, 2, 3], [0, 0, 0])],
  });
});

test('the four floating-point storages', () => {
  assert.deepEqual(read('dtypes.bin'), {
    float64: ['float64', [3], ramp(3)],
    float16: ['float16', [3], ramp(3)],
    bfloat16: ['bfloat16', [3], ramp(3)],
  });
});

test('a state_dict and parameters', () => {
  assert.deepEqual(read('state_dict.bin'), {
    weight: ['float32', [2, 3], ramp(6)],
    bias: ['float32', [2], ramp(2)],
  });
  assert.deepEqual(read('parameters.bin'), { R1: ['float32', [2, 2], ramp(4)] });
});

const REFUSED: [name: string, code: string, message: RegExp][] = [
  ['refused-call.bin', 'torch/pickle', /global (posix|nt)\.system is not allowed/],
  ['refused-integers.bin', 'torch/pickle', /global torch\.LongStorage/],
  ['refused-sparse.bin', 'torch/pickle', /_rebuild_sparse_tensor/],
  ['refused-protocol.bin', 'torch/pickle', /protocol 4/],
  ['refused-list.bin', 'torch/content', /dict of tensors is expected/],
  ['refused-nested.bin', 'torch/content', /R1 is a list or dict/],
  ['refused-key.bin', 'torch/content', /a key is 1/],
  ['refused-legacy.bin', 'file/kind', /is a pickle .* torch\.save is expected/],
];

for (const [name, code, message] of REFUSED) {
  test(`refused: ${name}`, () => rejectsWith(() => readTorchTensors(join(GOLDENS, name)), code, message));
}

/** dict.bin with one record changed; null removes it. */
function variant(record: string, change: (bytes: Uint8Array) => Uint8Array | null): Uint8Array {
  const records = unzipSync(readFileSync(join(GOLDENS, 'dict.bin')));
  const name = `dict/${record}`;
  const changed = change(records[name]!);
  if (changed) records[name] = Uint8Array.from(changed);
  else delete records[name];
  return zipSync(records);
}

/** The pickle with the first occurrence of one text replaced by another of the same length. */
function patched(from: string, to: string): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    const text = Buffer.from(bytes).toString('latin1');
    assert.ok(text.includes(from) && from.length === to.length);
    return Buffer.from(text.replace(from, to), 'latin1');
  };
}

const DAMAGED: [name: string, bytes: () => Uint8Array, code: string, message: RegExp][] = [
  ['a missing record', () => variant('data/1', () => null), 'torch/content', /no record data\/1/],
  [
    'a short record',
    () => variant('data/0', (b) => b.slice(4)),
    'torch/content',
    /data\/0 has 60 bytes; R1 needs 16/,
  ],
  ['a cut pickle', () => variant('data.pkl', (b) => b.slice(0, 60)), 'torch/pickle', /ends too early/],
  ['big-endian data', () => variant('byteorder', () => strToU8('big')), 'torch/content', /big-endian/],
  [
    'an opcode of another kind',
    () => variant('data.pkl', patched('\x80\x02}', '\x80\x02c')),
    'torch/pickle',
    /global/,
  ],
  [
    'a size beyond the storage',
    () => variant('data.pkl', patched('K\x04K\x04\x86', 'K\x04K\x05\x86')),
    'torch/content',
    /R1 of size \[4,5\]/,
  ],
  [
    'a stride beyond the storage',
    () => variant('data.pkl', patched('K\x04K\x01\x86', 'K\x07K\x01\x86')),
    'torch/content',
    /does not fit/,
  ],
  [
    'an unknown opcode',
    () => variant('data.pkl', () => Uint8Array.of(0x80, 2, 0x69)),
    'torch/pickle',
    /opcode 0x69 at byte 2/,
  ],
  ['no data.pkl', () => zipSync({ 'a/readme': strToU8('hello') }), 'torch/content', /no data\.pkl/],
  ['a cut zip', () => readFileSync(join(GOLDENS, 'dict.bin')).subarray(0, 900), 'torch/zip', /unpacked/],
];

for (const [name, bytes, code, message] of DAMAGED) {
  test(`refused: ${name}`, async (t) => {
    const path = join(temporaryFolder(t), 'R.bin');
    writeFileSync(path, bytes());
    await rejectsWith(() => readTorchTensors(path), code, message);
  });
}

/** A zip of stored records in which some bytes of the directory are changed. */
function zipWith(
  change: (bytes: Buffer, entry: number, end: number) => Uint8Array | undefined,
  records: Record<string, Uint8Array> = { 'a/data.pkl': new Uint8Array(8), 'a/data/0': new Uint8Array(64) },
): Uint8Array {
  const bytes = Buffer.from(zipSync(records, { level: 0 }));
  const end = bytes.lastIndexOf('PK\x05\x06');
  return change(bytes, bytes.indexOf('PK\x01\x02'), end) ?? bytes;
}

/** The end of a zip with a 64-bit directory record, which torch writes. */
function withWideEnd(bytes: Buffer, end: number, count: bigint): Buffer {
  const record = Buffer.alloc(56);
  record.write('PK\x06\x06', 'latin1');
  record.writeBigUInt64LE(count, 32);
  record.writeBigUInt64LE(BigInt(bytes.readUInt32LE(end + 12)), 40);
  record.writeBigUInt64LE(BigInt(bytes.readUInt32LE(end + 16)), 48);
  const locator = Buffer.alloc(20);
  locator.write('PK\x06\x07', 'latin1');
  locator.writeBigUInt64LE(BigInt(end), 8);
  return Buffer.concat([bytes.subarray(0, end), record, locator, bytes.subarray(end)]);
}

const BOMBS: [name: string, bytes: () => Uint8Array, code: string, message: RegExp][] = [
  [
    'a count beyond its directory',
    () => zipWith((bytes, _, end) => void bytes.writeUInt16LE(60000, end + 10)),
    'torch/zip',
    /announces 60000 records, which its directory of \d+ bytes cannot list/,
  ],
  [
    'a 64-bit count beyond its directory',
    () => zipWith((bytes, _, end) => withWideEnd(bytes, end, 2n ** 32n)),
    'torch/zip',
    /announces 4294967296 records/,
  ],
  [
    'a directory behind its end',
    () => zipWith((bytes, _, end) => void bytes.writeUInt32LE(0xffffffff, end + 16)),
    'torch/zip',
    /behind its own end/,
  ],
  [
    'a record behind the directory',
    () => zipWith((bytes, entry) => void bytes.writeUInt32LE(5000, entry + 42)),
    'torch/zip',
    /a\/data\.pkl is not at byte 5000/,
  ],
  [
    'a stored record of another length',
    () => zipWith((bytes, entry) => void bytes.writeUInt32LE(2e9, entry + 24)),
    'torch/zip',
    /a\/data\.pkl of 8 bytes cannot hold 2000000000/,
  ],
  [
    'a deflated record that cannot be so long',
    () =>
      zipWith((bytes, entry) => {
        bytes.writeUInt16LE(8, entry + 10);
        bytes.writeUInt32LE(9000, entry + 24);
      }),
    'torch/zip',
    /a\/data\.pkl of 8 bytes cannot hold 9000/,
  ],
  [
    'records in one place',
    () =>
      zipWith((bytes, entry) => {
        const second = bytes.indexOf('PK\x01\x02', entry + 1);
        bytes.writeUInt32LE(0, second + 42);
        bytes.writeUInt32LE(8, second + 20);
        bytes.writeUInt32LE(8, second + 24);
      }),
    'torch/zip',
    /a\/data\.pkl and a\/data\/0 overlap|a\/data\/0 and a\/data\.pkl overlap/,
  ],
  [
    'a name listed twice',
    () =>
      zipWith((bytes, entry) => void bytes.write('a/data.pkl', bytes.indexOf('PK\x01\x02', entry + 1) + 46), {
        'a/data.pkl': new Uint8Array(8),
        'a/data.pxl': new Uint8Array(8),
      }),
    'torch/zip',
    /a\/data\.pkl is listed twice/,
  ],
  [
    'an encrypted record',
    () => zipWith((bytes, entry) => void bytes.writeUInt16LE(1, entry + 8)),
    'torch/zip',
    /encrypted/,
  ],
  [
    'a pickle of a million objects',
    () => zipSync({ 'a/data.pkl': new Uint8Array(2 ** 20 + 1).fill(0x7d) }),
    'torch/content',
    /data\.pkl has 1048577 bytes; at most 1048576/,
  ],
  [
    'many tensors of one storage',
    () => manyViews(40, 2 ** 20),
    'torch/content',
    /too many share one storage/,
  ],
];

/** Tensors that are all of one storage, which is deflated to nearly nothing. */
function manyViews(tensors: number, values: number): Uint8Array {
  const integer = (value: number) =>
    Buffer.concat([Buffer.from('J'), Buffer.from(Int32Array.of(value).buffer)]);
  const word = (text: string) => {
    const length = Buffer.from(Uint32Array.of(text.length).buffer);
    return Buffer.concat([Buffer.from('X'), length, Buffer.from(text)]);
  };
  const view = Buffer.concat([
    Buffer.from('ctorch._utils\n_rebuild_tensor_v2\n(('),
    word('storage'),
    Buffer.from('ctorch\nFloatStorage\n'),
    ...[word('0'), word('cpu'), integer(values), Buffer.from('tQ'), integer(0)],
    ...[integer(values), Buffer.from('\x85', 'latin1'), integer(1), Buffer.from('\x85', 'latin1')],
    Buffer.from('\x89ccollections\nOrderedDict\n)RtR', 'latin1'),
  ]);
  const items = Array.from({ length: tensors }, (_, i) => Buffer.concat([word(`R2.${i}`), view]));
  const pickle = Buffer.concat([Buffer.from('\x80\x02}(', 'latin1'), ...items, Buffer.from('u.')]);
  return zipSync({ 'a/data.pkl': pickle, 'a/data/0': new Uint8Array(4 * values) });
}

for (const [name, bytes, code, message] of BOMBS) {
  test(`refused before it is unpacked: ${name}`, async (t) => {
    const path = join(temporaryFolder(t), 'R.bin');
    writeFileSync(path, bytes());
    const before = process.memoryUsage().arrayBuffers;
    await rejectsWith(() => readTorchTensors(path), code, message);
    // The most that a test here may cost is the allowance for views of one storage, twice.
    assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 28);
  });
}

test('views of one storage are read where they cost little; 64-bit directories are read', (t) => {
  const path = join(temporaryFolder(t), 'R.bin');
  const bytes = Buffer.from(manyViews(10, 1000));
  for (const archive of [bytes, withWideEnd(bytes, bytes.lastIndexOf('PK\x05\x06'), 2n)]) {
    writeFileSync(path, archive);
    const tensors = readTorchTensors(path);
    assert.equal(tensors.size, 10);
    for (const { dims, data } of tensors.values()) assert.deepEqual([dims, data.length], [[1000], 1000]);
    assert.notEqual(tensors.get('R2.0')!.data.buffer, tensors.get('R2.1')!.data.buffer, 'each has its own');
  }
});

test('what we write reads back, and has the records of torch.save', async (t) => {
  const dir = temporaryFolder(t);
  const path = join(dir, 'R.bin');
  const tensors = {
    R1: float32(
      [16, 32],
      Float32Array.from({ length: 512 }, (_, i) => Math.sin(i)),
    ),
    'model.layers.0.self_attn.R2': float32([2, 2], Float32Array.of(1, 2, 3, 4)),
  };
  await writeTorchTensors(path, tensors);
  assert.deepEqual(Object.fromEntries(readTorchTensors(path)), tensors);
  const records = Object.keys(unzipSync(readFileSync(path)));
  assert.deepEqual(
    records,
    ['data.pkl', 'byteorder', 'data/0', 'data/1', 'version'].map((name) => `archive/${name}`),
  );
  await writeTorchTensors(join(dir, 'again.bin'), tensors);
  assert.deepEqual(readFileSync(join(dir, 'again.bin')), readFileSync(path), 'equal input, equal bytes');
});
