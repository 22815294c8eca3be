import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLlama2c } from '../../src/formats/llama2c.ts';
import { parseLlama2cTokenizer } from '../../src/formats/llama2c-tokenizer.ts';
import { int8Checkpoint, legacyCheckpoint, TINY, tokenizerFile, vocabulary } from './llama2c-fixture.ts';
import { rejectsWith } from './support.ts';

const DECODER = new TextDecoder();

test('a legacy checkpoint: every tensor begins where the one before ended', () => {
  const { header, tensors } = parseLlama2c('m.bin', legacyCheckpoint(TINY));
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

test('a legacy checkpoint with its own classifier after the RoPE tables', () => {
  const { header, tensors } = parseLlama2c('m.bin', legacyCheckpoint(TINY, false));
  assert.equal(header.sharedClassifier, false);
  assert.equal(header.vocabSize, TINY.vocabSize);
  const norm = tensors.get('norm')!;
  assert.equal(tensors.get('output')?.data[0], norm.data.at(-1)! + 1 + TINY.seqLen * 4);
});

for (const shared of [true, false]) {
  test(`an int8 checkpoint, classifier ${shared ? 'shared' : 'its own'}`, () => {
    const { header, tensors } = parseLlama2c('m.bin', int8Checkpoint(TINY, 4, shared));
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
  ['version 1', withInt(int8, 4, 1), 'version', /version 1; supported are 0.*2/],
  ['zero layers', withInt(legacy, 8, 0), 'header', /"layers":0/],
  ['heads that do not divide the width', withInt(legacy, 12, 3), 'header', /"heads":3/],
  ['a group that does not divide the width', withInt(int8, 37, 5), 'header', /"groupSize":5/],
  ['something else', Buffer.from('GGUF and so on, for some bytes..'), 'header', /impossible sizes/],
];

for (const [name, bytes, code, message] of FAULTS) {
  test(`refused checkpoint: ${name}`, () =>
    rejectsWith(() => parseLlama2c('m.bin', bytes), `llama2c/${code}`, message));
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
