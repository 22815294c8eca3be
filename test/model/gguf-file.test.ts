/** The GGUF format itself: every tensor type, and files that are damaged. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { readGguf } from '../../src/formats/gguf.ts';
import { readGgufTensor } from '../../src/formats/gguf-types.ts';
import { UserError } from '../../src/protocol/errors.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import type { GgufContents, TypedValue, WrittenTensor } from './gguf-writer.ts';
import { ggufBytes, halfOf, randomBlocks, TENSOR_TYPES, text, u32, u64 } from './gguf-writer.ts';

function written(t: TestContext, bytes: Uint8Array): string {
  const path = join(temporaryFolder(t), 'model.gguf');
  writeFileSync(path, bytes);
  return path;
}

/** A tensor of 16- or 32-bit numbers, given as their bits. */
function plain(
  type: 'F32' | 'F16' | 'BF16',
  dims: number[],
  data: Uint16Array | Float32Array,
): WrittenTensor {
  return { type, dims, bytes: new Uint8Array(data.buffer) };
}

const HALVES = Uint16Array.of(0x3c00, 0x8001, 0x7bff, 0x0000, 0xfc00, 0x1234);
const SINGLES = Float32Array.of(1.5, -0, 3e38, 1e-45, Math.PI, -7);

for (const alignment of [32, 64]) {
  test(`every type and metadata value comes back (aligned to ${alignment})`, async (t) => {
    const blocks = {
      Q8_0: randomBlocks('Q8_0', [3, 64], 1),
      Q4_0: randomBlocks('Q4_0', [2, 5, 32], 2),
      Q4_1: randomBlocks('Q4_1', [7, 96], 3),
    };
    const tensors = {
      singles: plain('F32', [2, 3], SINGLES),
      halves: plain('F16', [6], HALVES),
      brains: plain('BF16', [3, 2], HALVES),
      ...Object.fromEntries(Object.entries(blocks).map(([type, { tensor }]) => [type, tensor])),
    };
    const values: Record<string, TypedValue> = {
      'general.alignment': ['u32', alignment],
      'a.text': ['text', 'ü ▁ \u{1f642}'],
      'a.long': ['u64', 2 ** 40],
      'a.flag': ['flag', true],
      'a.flags': ['flag', [true, false]],
      'some.texts': ['text', ['', 'x y', 'Ġ']],
      'some.numbers': ['f32', [0.5, -3]],
      'some.integers': ['i32', [-1, 3]],
    };
    const path = written(t, ggufBytes({ metadata: values, tensors, alignment }));
    const file = await readGguf(path);
    for (const [key, [, value]] of Object.entries(values))
      assert.deepEqual(file.metadata.get(key), key === 'a.long' ? 2n ** 40n : value, key);
    assert.deepEqual([...file.tensors.keys()], Object.keys(tensors));
    for (const [name, tensor] of file.tensors)
      assert.deepEqual(tensor.dims, tensors[name as keyof typeof tensors].dims, name);
    const read = (name: string) => readGgufTensor(file.tensors.get(name)!);
    assert.deepEqual(read('singles'), { kind: 'host', dtype: 'float32', dims: [2, 3], data: SINGLES });
    assert.deepEqual(read('halves'), { kind: 'host', dtype: 'float16', dims: [6], data: HALVES });
    assert.deepEqual(read('brains'), { kind: 'host', dtype: 'bfloat16', dims: [3, 2], data: HALVES });
    for (const [type, { tensor, values: expected }] of Object.entries(blocks)) {
      const { dtype, dims, data } = read(type);
      assert.deepEqual([dtype, dims], ['float32', tensor.dims]);
      assert.deepEqual(data, Float32Array.from(expected), type);
    }
  });
}

test('a quantized tensor longer than what is read at once', async (t) => {
  const { tensor, values } = randomBlocks('Q4_1', [300, 1024], 5);
  const file = await readGguf(written(t, ggufBytes({ metadata: {}, tensors: { w: tensor } })));
  assert.deepEqual(readGgufTensor(file.tensors.get('w')!).data, Float32Array.from(values));
});

test('the reference for float16 in these tests: known values', () => {
  for (const value of [65504, 2 ** -24, 1 / 3, -0.1])
    assert.ok(Math.abs(halfOf(value) / value - 1) <= 2 ** -11, String(value));
  assert.deepEqual([halfOf(1 / 3), halfOf(2050.9), halfOf(0)], [1365 / 4096, 2050, 0]);
});

const GOOD: GgufContents = {
  metadata: { 'general.architecture': ['text', 'llama'], many: ['text', new Array(100).fill('token')] },
  tensors: {
    a: plain('F32', [6], SINGLES),
    b: randomBlocks('Q8_0', [2, 32]).tensor,
  },
};
const BYTES = ggufBytes(GOOD);

function edited(edit: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(BYTES);
  edit(bytes);
  return bytes;
}

/** A file whose only tensor has this description. */
function described(name: string, dims: readonly number[], type: number, offset: number): Buffer {
  const entry = [text(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset)];
  return Buffer.concat([Buffer.from('GGUF'), u32(3), u64(1), u64(0), ...entry, Buffer.alloc(256)]);
}

function withTensor(name: string, tensor: WrittenTensor): Buffer {
  return ggufBytes({ ...GOOD, tensors: { ...GOOD.tensors, [name]: tensor } });
}

const FAULTS: [name: string, bytes: Uint8Array, code: string, message: RegExp][] = [
  ['nothing', Buffer.alloc(0), 'magic', /does not begin with "GGUF"/],
  ['another format', Buffer.from('GGML\x00\x01 and so on, for some bytes'), 'magic', /is not a GGUF file/],
  ['only the magic', BYTES.subarray(0, 10), 'truncated', /10 bytes are not a GGUF header/],
  [
    'big-endian',
    edited((bytes) => bytes.writeUInt32BE(3, 4)),
    'big-endian',
    /big-endian GGUF file \(version 3\)/,
  ],
  ['version 1', edited((bytes) => bytes.writeUInt32LE(1, 4)), 'version', /version 1; versions 2 and 3/],
  ['version 9', edited((bytes) => bytes.writeUInt32LE(9, 4)), 'version', /version 9/],
  [
    'cut in the key-value pairs',
    BYTES.subarray(0, 300),
    'truncated',
    /the header needs \d+ bytes but the file has 300/,
  ],
  [
    'cut in the last tensor',
    BYTES.subarray(0, BYTES.length - 40),
    'truncated',
    /tensor b reaches to byte \d+ but the file has/,
  ],
  [
    'absurd numbers',
    edited((bytes) => bytes.writeBigUInt64LE(2n ** 60n, 16)),
    'damaged',
    /announces 2 tensors .* and 1152921504606846976 key-value pairs/,
  ],
  [
    'more tensors than the file can list',
    edited((bytes) => bytes.writeBigUInt64LE(90_000n, 8)),
    'damaged',
    /announces 90000 tensors .* at least \d+ bytes; the file has/,
  ],
  [
    'a list longer than the file',
    edited((bytes) => bytes.writeBigUInt64LE(900_000n, bytes.indexOf('token') - 16)),
    'damaged',
    /header cannot be read: String length/,
  ],
  [
    'a list that no file holds',
    edited((bytes) => bytes.writeBigUInt64LE(2n ** 62n, bytes.indexOf('token') - 16)),
    'damaged',
    /header cannot be read: Metadata array length/,
  ],
  [
    'a text longer than any',
    edited((bytes) => bytes.writeBigUInt64LE(2n ** 40n, bytes.indexOf('token') - 8)),
    'damaged',
    /header cannot be read: String length/,
  ],
  [
    'five dimensions',
    described('x', [1, 1, 1, 1, 1], TENSOR_TYPES.F32, 0),
    'tensor',
    /tensor x has 5 dimensions; at most 4/,
  ],
  [
    'a product that overflows before a zero',
    described('x', [0, 2 ** 32, 2 ** 32], TENSOR_TYPES.F32, 0),
    'truncated',
    /tensor x reaches/,
  ],
  [
    'a text that is not UTF-8',
    edited((bytes) => bytes.writeUInt8(0xff, bytes.indexOf('token') + 1)),
    'damaged',
    /not valid UTF-8/,
  ],
  [
    'a type that is not read',
    withTensor('c.weight', { type: 'IQ2_XS', dims: [256], bytes: new Uint8Array(74) }),
    'tensor-type',
    /tensor c\.weight is of type IQ2_XS; allowed are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, .*Q6_K, IQ4_XS/,
  ],
  ['a type without a name', described('x', [32], 99, 0), 'tensor-type', /tensor x is of type number 99/],
  [
    'rows of broken blocks',
    described('x', [16, 2], TENSOR_TYPES.Q4_0, 0),
    'tensor',
    /rows of 16; Q4_0 needs a multiple of 32/,
  ],
  ['an offset outside', described('x', [4], TENSOR_TYPES.F32, 1e6), 'truncated', /tensor x reaches/],
  [
    'a size beyond all files',
    described('x', [2 ** 31, 2 ** 31], TENSOR_TYPES.F32, 0),
    'truncated',
    /tensor x reaches/,
  ],
];

for (const [name, bytes, code, message] of FAULTS) {
  test(`refused: ${name}`, (t) => rejectsWith(() => readGguf(written(t, bytes)), `gguf/${code}`, message));
}

test('refused: two tensors of one name, two tensors in one place, no file', async (t) => {
  const twice = (names: [string, string]): Buffer => {
    const entries = names.flatMap((name) => [text(name), u32(1), u64(4), u32(0), u64(0)]);
    return Buffer.concat([Buffer.from('GGUF'), u32(2), u64(2), u64(0), ...entries, Buffer.alloc(256)]);
  };
  await rejectsWith(() => readGguf(written(t, twice(['x', 'x']))), 'gguf/tensor', /x is listed twice/);
  await rejectsWith(() => readGguf(written(t, twice(['x', 'y']))), 'gguf/tensor', /x and y overlap/);
  await rejectsWith(() => readGguf('nowhere.gguf'), 'gguf/unreadable', /nowhere\.gguf cannot be read/);
});

test('every place to cut a file gives a message, never a model', async (t) => {
  const path = join(temporaryFolder(t), 'model.gguf');
  // The padding behind the last tensor may be missing.
  for (let length = 0; length < BYTES.length - 28; length += 13) {
    writeFileSync(path, BYTES.subarray(0, length));
    await assert.rejects(readGguf(path), (error) => {
      assert.ok(error instanceof UserError, `cut at ${length}: ${String(error)}`);
      assert.match(error.code, /^gguf\/(magic|truncated|damaged|tensor)$/);
      return true;
    });
  }
});
