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
