import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { Llama2cHeader } from '../../src/formats/llama2c.ts';
import { readLlama2c, readLlama2cTensor } from '../../src/formats/llama2c.ts';
import { parseLlama2cTokenizer } from '../../src/formats/llama2c-tokenizer.ts';
import {
  floatCheckpoint,
  int8Checkpoint,
  legacyCheckpoint,
  header as legacyHeader,
  TINY,
  tokenizerFile,
  vocabulary,
} from './llama2c-fixture.ts';
import { rejectsWith, temporaryFolder } from './support.ts';

const DECODER = new TextDecoder();

function written(t: TestContext, bytes: Uint8Array): string {
  const path = join(temporaryFolder(t), 'm.bin');
  writeFileSync(path, bytes);
  return path;
}

/** A whole checkpoint in memory. */
function parsed(
  t: TestContext,
  bytes: Uint8Array,
): { header: Llama2cHeader; tensors: Map<string, { dims: readonly number[]; data: Float32Array }> } {
  const { header, tensors } = readLlama2c(written(t, bytes));
  return { header, tensors: new Map([...tensors].map(([name, x]) => [name, readLlama2cTensor(x)])) };
}

test('a legacy checkpoint: every tensor begins where the one before ended', (t) => {
  const { header, tensors } = parsed(t, legacyCheckpoint(TINY));
  assert.deepEqual(header, { ...TINY, version: 0, sharedClassifier: true, groupSize: null });
  // Kind by kind, all layers of one before the next; the floats are their own running numbers.
  const kinds = ['attention_norm', 'wq', 'wk', 'wv', 'wo', 'ffn_norm', 'w1', 'w2', 'w3'];
  const names = [
    'tok_embeddings',
    ...kinds.flatMap((kind) => [0, 1].map((i) => `layers.${i}.${kind}`)),
    'norm',
  ];
  assert.deepEqual([...tensors.keys()], names);
  let next = 0;
  for (const [name, { dims, data }] of tensors) {
    assert.equal(
      data.length,
      dims.reduce((a, b) => a * b),
      name,
    );
    assert.equal(data[0], next, name);
    next += data.length;
    assert.equal(data.at(-1), next - 1, name);
  }
  assert.deepEqual(tensors.get('layers.1.wk')?.dims, [4, 8]);
  assert.deepEqual(tensors.get('layers.1.w2')?.dims, [8, 12]);
});

test('a legacy checkpoint with its own classifier after the RoPE tables', (t) => {
  const { header, tensors } = parsed(t, legacyCheckpoint(TINY, false));
  assert.equal(header.sharedClassifier, false);
  assert.equal(header.vocabSize, TINY.vocabSize);
  const norm = tensors.get('norm')!;
  assert.equal(tensors.get('output')?.data[0], norm.data.at(-1)! + 1 + TINY.seqLen * 4);
});

for (const shared of [true, false]) {
  test(`an int8 checkpoint, classifier ${shared ? 'shared' : 'its own'}`, (t) => {
    const { header, tensors } = parsed(t, int8Checkpoint(TINY, 4, shared));
    assert.deepEqual(header, { ...TINY, version: 2, sharedClassifier: shared, groupSize: 4 });
    assert.equal(tensors.has('output'), !shared);
    assert.deepEqual([...tensors.get('layers.1.ffn_norm')!.data], [24, 25, 26, 27, 28, 29, 30, 31]);
    for (const name of ['tok_embeddings', 'layers.0.wk', 'layers.1.w2']) {
      const { data } = tensors.get(name)!;
      for (const [i, value] of data.entries())
        assert.equal(value, ((i % 7) - 3) * (Math.floor(i / 4) + 1), name);
    }
  });
}

for (const shared of [true, false]) {
  test(`a float32 checkpoint of version 1, classifier ${shared ? 'shared' : 'its own'}`, (t) => {
    const { header, tensors } = parsed(t, floatCheckpoint(TINY, shared));
    assert.deepEqual(header, { ...TINY, version: 1, sharedClassifier: shared, groupSize: null });
    const perLayer = (kind: string) => [0, 1].map((i) => `layers.${i}.${kind}`);
    const names = [
      ...['attention_norm', 'ffn_norm'].flatMap(perLayer),
      'norm',
      'tok_embeddings',
      ...['wq', 'wk', 'wv', 'wo', 'w1', 'w2', 'w3'].flatMap(perLayer),
      ...(shared ? [] : ['output']),
    ];
    assert.deepEqual([...tensors.keys()], names);
    let next = 0;
    for (const [name, { data }] of tensors) {
      assert.deepEqual([data[0], data.at(-1)], [next, next + data.length - 1], name);
      next += data.length;
    }
  });
}

test('a file above 4 GiB is read where it is asked for', (t) => {
  // The RoPE tables that nobody reads are 4.3 GB long; the classifier lies behind them.
  const sizes = { ...TINY, dim: 128, hiddenDim: 4, layers: 1, heads: 1, kvHeads: 1, seqLen: 2 ** 23 + 5 };
  const { tensors, sizeBytes } = sparse(t, sizes);
  const output = tensors.get('output')!;
  assert.ok(output.byteOffset > 2 ** 32, String(output.byteOffset));
  assert.equal(output.byteOffset + 4 * TINY.vocabSize * 128, sizeBytes);
  const { data } = readLlama2cTensor(output);
  assert.deepEqual([data[0], data[1], data.at(-1)], [1.5, 0, -2.5]);
});

/** A legacy file of zeros that takes no room on a disk, but for the ends of its classifier: 1.5 and −2.5. */
function sparse(t: TestContext, sizes: typeof TINY): ReturnType<typeof readLlama2c> & { sizeBytes: number } {
  const path = join(temporaryFolder(t), 'large.bin');
  const { dim, hiddenDim, layers, vocabSize, seqLen } = sizes;
  const tensors = 2 * vocabSize * dim + layers * (2 * dim + 4 * dim * dim + 3 * dim * hiddenDim) + dim;
  const sizeBytes = 28 + 4 * (tensors + seqLen * dim);
  const fd = openSync(path, 'w');
  writeSync(fd, legacyHeader(sizes, -1));
  ftruncateSync(fd, sizeBytes);
  writeSync(fd, Buffer.from(Float32Array.of(1.5).buffer), 0, 4, sizeBytes - 4 * vocabSize * dim);
  writeSync(fd, Buffer.from(Float32Array.of(-2.5).buffer), 0, 4, sizeBytes - 4);
  closeSync(fd);
  return { ...readLlama2c(path), sizeBytes };
}

const legacy = legacyCheckpoint(TINY);
const int8 = int8Checkpoint(TINY, 4);

function withInt(bytes: Buffer, offset: number, value: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeInt32LE(value, offset);
  return copy;
}

const FAULTS: [name: string, bytes: Buffer, code: string, message: RegExp][] = [
  ['an empty file', Buffer.alloc(0), 'truncated', /the header needs/],
  ['a cut tensor', legacy.subarray(0, 9000), 'truncated', /layers\.\d\.w/],
  ['the last byte missing', int8.subarray(0, -1), 'truncated', /scales of layers\.1\.w3/],
  ['a byte too many', Buffer.concat([legacy, Buffer.alloc(1)]), 'rest', /1 bytes are left/],
  ['version 3', withInt(int8, 4, 3), 'version', /version 3; supported are 0.*1 .*2/],
  ['a version with a negative vocabulary', withInt(int8, 28, -262), 'header', /"vocabSize":-262/],
  ['more layers than the file has', withInt(legacy, 8, 2 ** 24 - 1), 'truncated', /but the file has/],
  ['zero layers', withInt(legacy, 8, 0), 'header', /"layers":0/],
  ['heads that do not divide the width', withInt(legacy, 12, 3), 'header', /"heads":3/],
  ['a group that does not divide the width', withInt(int8, 37, 5), 'header', /"groupSize":5/],
  ['something else', Buffer.alloc(64, 0xee), 'header', /impossible sizes/],
];

for (const [name, bytes, code, message] of FAULTS) {
  test(`refused checkpoint: ${name}`, (t) =>
    rejectsWith(() => readLlama2c(written(t, bytes)), `llama2c/${code}`, message));
}

test('a tokenizer', () => {
  const pieces = parseLlama2cTokenizer('t.bin', tokenizerFile(vocabulary([' a', 'é'])), 261);
  assert.equal(pieces.length, 261);
  assert.deepEqual(
    pieces.slice(-2).map(({ score, bytes }) => [score, DECODER.decode(bytes)]),
    [
      [-0, ' a'],
      [-1, 'é'],
    ],
  );
});

test('refused tokenizers', async () => {
  const bytes = tokenizerFile(vocabulary([' a']));
  await rejectsWith(
    () => parseLlama2cTokenizer('t.bin', bytes, 261),
    'llama2c/vocabulary',
    /only 260 pieces.*has 261/,
  );
  await rejectsWith(() => parseLlama2cTokenizer('t.bin', bytes, 259), 'llama2c/vocabulary', /more pieces/);
  await rejectsWith(
    () => parseLlama2cTokenizer('t.bin', bytes.subarray(0, -1), 260),
    'llama2c/truncated',
    /piece 259/,
  );
  const negative = withInt(bytes, 8, -5);
  await rejectsWith(
    () => parseLlama2cTokenizer('t.bin', negative, 260),
    'llama2c/piece',
    /piece 0 has length -5/,
  );
});
