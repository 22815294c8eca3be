import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/engine/model/checkpoint.ts';
import { importLlama2c } from '../../src/engine/model/import-llama2c.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { readLlama2c, readLlama2cTensor } from '../../src/formats/llama2c.ts';
import { parseLlama2cTokenizer } from '../../src/formats/llama2c-tokenizer.ts';
import { toFloat32 } from '../../src/formats/tensor-io.ts';
import { Cancelled } from '../../src/protocol/errors.ts';
import {
  floatCheckpoint,
  int8Checkpoint,
  legacyCheckpoint,
  TINY,
  tokenizerFile,
  vocabulary,
} from '../formats/llama2c-fixture.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import { encodeLikeLlama2c } from './llama2c-encode.ts';

/** With scores out of order, pieces of several characters, spaces within and characters of several bytes. */
const TEXT_PIECES = [
  'th',
  ' t',
  'he',
  'é',
  ' ',
  't',
  'h',
  'e',
  '\n',
  'the',
  ' the',
  '  ',
  ' h',
  'éé',
  'n',
  'en',
  '\n\n',
];
const PIECES = vocabulary(TEXT_PIECES.map((text, i) => [text, -((i * 7) % 17)] as const));
const SIZES = { ...TINY, vocabSize: PIECES.length };

function writeInputs(
  t: TestContext,
  checkpoint: Buffer,
): { checkpoint: string; tokenizer: string; out: string } {
  const dir = temporaryFolder(t);
  const paths = {
    checkpoint: join(dir, 'm.bin'),
    tokenizer: join(dir, 't.bin'),
    out: join(dir, 'sub', 'out'),
  };
  writeFileSync(paths.checkpoint, checkpoint);
  writeFileSync(paths.tokenizer, tokenizerFile(PIECES));
  return paths;
}

/** The tensors of a checkpoint as they lie in the file. */
function sourceTensors(path: string): Map<string, Float32Array> {
  return new Map([...readLlama2c(path).tensors].map(([name, x]) => [name, readLlama2cTensor(x).data]));
}

const KINDS: [name: string, bytes: Buffer, tied: boolean][] = [
  ['legacy', legacyCheckpoint(SIZES), true],
  ['legacy with its own classifier', legacyCheckpoint(SIZES, false), false],
  ['version 1', floatCheckpoint(SIZES), true],
  ['version 1 with its own classifier', floatCheckpoint(SIZES, false), false],
  ['int8', int8Checkpoint(SIZES, 4), true],
];

for (const [name, bytes, tied] of KINDS) {
  test(`imports a checkpoint: ${name}`, async (t) => {
    const paths = writeInputs(t, bytes);
    const summary = await importLlama2c(paths);
    const checkpoint = await openCheckpoint(paths.out);
    assert.equal(summary.dir, paths.out);
    assert.equal(4 * summary.parameters, checkpoint.sizeBytes);
    const { config } = checkpoint;
    assert.deepEqual(
      [
        config.headDim,
        config.kvHeads,
        config.maxPositions,
        config.rmsNormEps,
        config.ropeTheta,
        config.tiedEmbeddings,
      ],
      [4, 1, 16, 1e-5, 10000, tied],
    );
    const source = sourceTensors(paths.checkpoint);
    const layer = checkpoint.layer(1);
    const same = {
      inputNorm: 'attention_norm',
      v: 'wv',
      o: 'wo',
      postNorm: 'ffn_norm',
      gate: 'w1',
      down: 'w2',
      up: 'w3',
    };
    for (const [role, from] of Object.entries(same)) {
      assert.deepEqual(toFloat32(layer[role as keyof typeof same]), source.get(`layers.1.${from}`), role);
    }
    assert.deepEqual(toFloat32(checkpoint.lmHead), source.get(tied ? 'tok_embeddings' : 'output'));
    assert.deepEqual(toFloat32(checkpoint.finalNorm), source.get('norm'));
  });
}

/** Rotates pairs of one head's vector; `pairs` gives the two positions of each pair. */
function rotate(x: number[], position: number, pairs: [number, number][]): number[] {
  const out = [...x];
  for (const [j, [a, b]] of pairs.entries()) {
    const angle = position * 10000 ** ((-2 * j) / x.length);
    out[a] = x[a]! * Math.cos(angle) - x[b]! * Math.sin(angle);
    out[b] = x[a]! * Math.sin(angle) + x[b]! * Math.cos(angle);
  }
  return out;
}

test('rotary pairs: the scores of the imported q and k are those of the source', async (t) => {
  const bytes = int8Checkpoint(SIZES, 4);
  const paths = writeInputs(t, bytes);
  await importLlama2c(paths);
  const layer = (await openCheckpoint(paths.out)).layer(0);
  const source = sourceTensors(paths.checkpoint);
  const x = Array.from({ length: 8 }, (_, i) => Math.cos(i));
  const project = (w: Float32Array, head: number): number[] =>
    Array.from({ length: 4 }, (_, r) =>
      x.reduce((sum, value, c) => sum + value * w[(4 * head + r) * 8 + c]!, 0),
    );
  const score = (q: Float32Array, k: Float32Array, head: number, pairs: [number, number][]): number => {
    const [a, b] = [rotate(project(q, head), 5, pairs), rotate(project(k, 0), 2, pairs)];
    return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  };
  const [wq, wk] = [source.get('layers.0.wq')!, source.get('layers.0.wk')!];
  const [q, k] = [toFloat32(layer.q), toFloat32(layer.k)];
  for (const head of [0, 1]) {
    const theirs = score(wq, wk, head, [
      [0, 1],
      [2, 3],
    ]);
    const ours = score(q, k, head, [
      [0, 2],
      [1, 3],
    ]);
    // The same float64 operations in another order, on numbers below 2000.
    assert.ok(Math.abs(ours - theirs) < 1e-9, `${ours} against ${theirs}`);
    assert.ok(
      Math.abs(
        score(wq, wk, head, [
          [0, 2],
          [1, 3],
        ]) - theirs,
      ) > 1,
      'the order of the rows matters',
    );
  }
});

/** Deterministic texts over an alphabet with every kind of character. */
function sampleTexts(count: number): string[] {
  const alphabet = ['t', 'h', 'e', 'n', ' ', 'é', '\n', 'x', '🙂', '<'];
  let state = 1;
  const next = (below: number): number => {
    state = (state * 48271) % 0x7fffffff;
    return state % below;
  };
  return Array.from({ length: count }, () =>
    Array.from({ length: next(40) }, () => alphabet[next(alphabet.length)]).join(''),
  );
}

test('the imported tokenizer encodes as llama2.c does, and decodes to the text', async (t) => {
  const paths = writeInputs(t, legacyCheckpoint(SIZES));
  await importLlama2c(paths);
  const tokenizer = openTokenizer(paths.out, SIZES.vocabSize);
  assert.deepEqual([tokenizer.bosId, tokenizer.eosId, tokenizer.vocabSize], [1, 2, SIZES.vocabSize]);
  const pieces = parseLlama2cTokenizer('t.bin', readFileSync(paths.tokenizer), SIZES.vocabSize);
  for (const text of ['', ' ', 'the the', '  then\n\néé', '<unk><0x41>', ...sampleTexts(300)]) {
    const ids = [...tokenizer.encode(text)];
    assert.deepEqual(ids, encodeLikeLlama2c(pieces, text), JSON.stringify(text));
    assert.equal(tokenizer.decode(ids), text);
    assert.deepEqual([...tokenizer.encode(text, { bos: true })], [1, ...ids]);
    assert.equal(tokenizer.decode([1, ...ids, 2]), text, 'special tokens are left out');
  }
});

test('nothing is overwritten; an empty folder is used', async (t) => {
  const paths = writeInputs(t, legacyCheckpoint(SIZES));
  mkdirSync(paths.out, { recursive: true });
  await importLlama2c(paths);
  assert.deepEqual(readdirSync(paths.out).sort(), [
    'config.json',
    'model.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
  assert.deepEqual(readdirSync(join(paths.out, '..')), ['out'], 'no temporary folder stays');
  await rejectsWith(() => importLlama2c(paths), 'import/exists', /not empty; nothing is overwritten/);
  await rejectsWith(() => importLlama2c({ ...paths, out: paths.tokenizer }), 'import/exists', /is a file/);
});

test('long models are divided into numbered files; a signal stops the import and leaves no folder', async (t) => {
  const paths = writeInputs(t, floatCheckpoint(SIZES));
  const controller = new AbortController();
  const onTensor = ({ tensorsDone }: { tensorsDone: number }): void => {
    if (tensorsDone === 2) controller.abort();
  };
  await assert.rejects(importLlama2c({ ...paths, signal: controller.signal, onTensor }), Cancelled);
  assert.ok(!existsSync(paths.out));
  await importLlama2c({ ...paths, shardBytes: 6000 });
  const files = readdirSync(paths.out).filter((name) => name.endsWith('.safetensors'));
  assert.ok(files.length > 1, files.join());
  const found = await openCheckpoint(paths.out);
  assert.deepEqual(toFloat32(found.finalNorm), sourceTensors(paths.checkpoint).get('norm'));
});

test('faulty inputs leave no folder', async (t) => {
  const paths = writeInputs(t, legacyCheckpoint(SIZES));
  await rejectsWith(
    () => importLlama2c({ ...paths, checkpoint: 'nowhere.bin' }),
    'import/unreadable',
    /nowhere\.bin/,
  );
  const spoil = async (
    pieces: readonly (readonly [string | Buffer, number])[],
    message: RegExp,
  ): Promise<void> => {
    writeFileSync(paths.tokenizer, tokenizerFile(pieces));
    await rejectsWith(() => importLlama2c(paths), 'llama2c/piece', message);
  };
  await spoil(PIECES.with(260, ['th', 0]), /pieces 259 and 260 are both "th"/);
  await spoil(PIECES.with(70, ['<0xXX>', 0]), /piece 70 .*<0x43> is expected/);
  writeFileSync(paths.tokenizer, tokenizerFile(PIECES.slice(1)));
  await rejectsWith(() => importLlama2c(paths), 'llama2c/vocabulary', /only 275 pieces/);
  const invalid = PIECES.map(([text, score], id) => [id === 261 ? Buffer.of(0xff) : text, score] as const);
  await spoil(invalid, /piece 261 is not valid UTF-8/);
  assert.ok(!existsSync(join(paths.out, '..')) || readdirSync(join(paths.out, '..')).length === 0);
});

const DATA = join(import.meta.dirname, '..', '..', '..', 'shared', 'data');

for (const [model, vocabularyFile] of [
  ['stories260K', 'tok512.bin'],
  ['stories3M-q80', 'tok4096.bin'],
] as const) {
  test(`a trained model: ${model}`, async (t) => {
    const folder = join(DATA, 'models', model);
    if (!existsSync(folder)) return t.skip('the shared models are not here');
    const tokenizerPath = join(folder, vocabularyFile);
    const out = join(temporaryFolder(t), model);
    const { header } = await importLlama2c({
      checkpoint: join(folder, `${model}.bin`),
      tokenizer: tokenizerPath,
      out,
    });
    const { config } = await openCheckpoint(out);
    const tokenizer = openTokenizer(out, config.vocabSize);
    const pieces = parseLlama2cTokenizer(tokenizerPath, readFileSync(tokenizerPath), header.vocabSize);
    const stories = readFileSync(join(DATA, 'text', 'tinystories', 'tinystories_sample.txt'), 'utf8');
    const lines = readFileSync(join(DATA, 'text', 'wikitext-2', 'test.txt'), 'utf8')
      .slice(0, 4000)
      .split('\n');
    for (const text of [...stories.split('<|endoftext|>'), ...lines]) {
      const ids = tokenizer.encode(text);
      assert.deepEqual([...ids], encodeLikeLlama2c(pieces, text), text);
      assert.equal(tokenizer.decode(ids), text);
    }
  });
}
