import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { buildBpe } from '../../src/engine/model/tokenizer/bpe.ts';
import { areWordsIndependent } from '../../src/engine/model/tokenizer/independent-words.ts';
import type { BpeModel } from '../../src/engine/model/tokenizer/model-schema.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';

type Merge = [string, string];

const VOCABULARY = ['<s>', '</s>', '▁', 'a', 'b', 'c', '▁▁', '▁a', 'ab', '▁ab', 'bc', 'a▁', '▁▁▁▁'];

function tokenizerJson(merges: Merge[], preTokenizer: object | null = null): Record<string, unknown> {
  return {
    added_tokens: [0, 1].map((id) => ({ id, content: VOCABULARY[id], special: true, normalized: false })),
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    pre_tokenizer: preTokenizer,
    post_processor: null,
    decoder: { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
    model: { type: 'BPE', vocab: Object.fromEntries(VOCABULARY.map((text, id) => [text, id])), merges },
  };
}

const WORD_MERGES: Merge[] = [
  ['▁', '▁'],
  ['b', 'c'],
  ['▁', 'a'],
  ['a', 'b'],
  ['▁', 'ab'],
  ['▁▁', '▁▁'],
];

/** All texts over the alphabet up to seven characters. */
function* allTexts(alphabet: string, length: number): Generator<string> {
  if (length === 0) return yield '';
  for (const rest of allTexts(alphabet, length - 1)) for (const c of alphabet) yield rest + c;
}

function bpe(merges: Merge[]): BpeModel {
  return {
    type: 'BPE',
    vocab: new Map(VOCABULARY.map((text, id) => [text, id])),
    merges,
    unknown: null,
    prefix: '',
    suffix: '',
    fuseUnknown: false,
    byteFallback: false,
    ignoreMerges: false,
  };
}

test('cutting a text into words changes no token', () => {
  const model = bpe(WORD_MERGES);
  assert.ok(areWordsIndependent(model));
  const [whole, words] = [buildBpe(model, false), buildBpe(model, true)];
  for (const text of allTexts('abc▁', 7)) assert.deepEqual(words(text), whole(text), text);
});

test('a tokenizer whose merges span words, or that looks at whole words, is left alone', () => {
  assert.ok(!areWordsIndependent(bpe([...WORD_MERGES, ['a', '▁']])));
  const model = bpe(WORD_MERGES);
  for (const change of [{ ignoreMerges: true }, { prefix: '##' }, { suffix: '</w>' }])
    assert.ok(!areWordsIndependent({ ...model, ...change }), JSON.stringify(change));
  // Without a token for spaces, unknown characters on both sides of one are a single unknown token.
  assert.ok(!areWordsIndependent({ ...model, vocab: new Map([['a', 0]]) }));
});

/** The tokens that the reference library (Rust tokenizers 0.23) gives for "a  a   ab". */
const METASPACE: [name: string, settings: object, tokens: string[]][] = [
  ['splits by default', {}, ['▁a', '▁', '▁a', '▁', '▁', '▁a', 'b']],
  ['does not split when told so', { split: false }, ['▁a', '▁▁', 'a', '▁▁', '▁a', 'b']],
];

for (const [name, settings, tokens] of METASPACE) {
  test(`Metaspace ${name}`, (t) => {
    const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', ...settings };
    const json = { ...tokenizerJson(WORD_MERGES, metaspace), normalizer: null };
    const ids = openTokenizer(folder(t, { 'tokenizer.json': json })).encode('a  a   ab');
    assert.deepEqual(
      [...ids].map((id) => VOCABULARY[id]),
      tokens,
    );
  });
}

/** The reference library (Rust tokenizers 0.23) takes every number of Unicode for a digit. */
for (const individual of [true, false]) {
  test(`Digits ${individual ? 'one by one' : 'together'}: ², ½ and ٣ are digits`, (t) => {
    const texts = ['a', '1', '²', '½', '٣', '1²', '½٣', 'a1', '²½'];
    const json = {
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: individual }] },
      post_processor: null,
      decoder: null,
      model: {
        type: 'BPE',
        vocab: Object.fromEntries(texts.map((text, id) => [text, id])),
        merges: texts.flatMap((text) => (text.length === 2 ? [[text[0], text[1]]] : [])),
      },
    };
    const ids = openTokenizer(folder(t, { 'tokenizer.json': json })).encode('a1²a½٣');
    assert.deepEqual(
      [...ids].map((id) => texts[id]),
      individual ? ['a', '1', '²', 'a', '½', '٣'] : ['a', '1²', 'a', '½٣'],
    );
  });
}

function folder(t: TestContext, files: Record<string, unknown>): string {
  const dir = temporaryFolder(t);
  for (const [name, value] of Object.entries(files)) {
    writeFileSync(join(dir, name), typeof value === 'string' ? value : JSON.stringify(value));
  }
  return dir;
}

const JSON_FILE = tokenizerJson(WORD_MERGES);

test('BOS and EOS: as text, as object, by number, or none', (t) => {
  const cases: [files: Record<string, unknown>, bos: number | null, eos: number | null][] = [
    [{ 'tokenizer_config.json': { bos_token: '<s>', eos_token: { content: '</s>' } } }, 0, 1],
    [{ 'config.json': { bos_token_id: 0, eos_token_id: [1, 0] } }, 0, 1],
    [{ 'tokenizer_config.json': { bos_token: null }, 'config.json': { bos_token_id: 0 } }, null, null],
    [{}, null, null],
  ];
  for (const [files, bos, eos] of cases) {
    const tokenizer = openTokenizer(folder(t, { 'tokenizer.json': JSON_FILE, ...files }));
    assert.deepEqual([tokenizer.bosId, tokenizer.eosId], [bos, eos], JSON.stringify(files));
  }
});

test('no special token is added unless asked for; those in the text are read', async (t) => {
  const dir = folder(t, { 'tokenizer.json': JSON_FILE, 'tokenizer_config.json': { bos_token: '<s>' } });
  const tokenizer = openTokenizer(dir);
  assert.deepEqual([...tokenizer.encode('ab')], [8]);
  assert.deepEqual([...tokenizer.encode('ab', { bos: true })], [0, 8]);
  assert.deepEqual([...tokenizer.encode('ab</s>c')], [8, 1, 5]);
  assert.equal(tokenizer.decode(Int32Array.of(0, 8, 1, 5)), 'abc');
  assert.equal(tokenizer.decode([]), '');
  const without = openTokenizer(folder(t, { 'tokenizer.json': JSON_FILE }));
  await rejectsWith(
    () => without.encode('ab', { bos: true }),
    'tokenizer/no-bos',
    /no beginning-of-sequence token/,
  );
});

test('the vocabulary must fit the embedding', async (t) => {
  const dir = folder(t, { 'tokenizer.json': JSON_FILE });
  assert.equal(openTokenizer(dir, 13).vocabSize, 13);
  await rejectsWith(() => openTokenizer(dir, 12), 'tokenizer/vocabulary', /ids up to 12 \("▁▁▁▁"\).*12 rows/);
});

const FAULTS: [name: string, files: Record<string, unknown>, code: string, message: RegExp][] = [
  ['nothing there', {}, 'missing', /has no tokenizer\.json\./],
  ['only a SentencePiece model', { 'tokenizer.model': '' }, 'missing', /only tokenizer\.model/],
  ['no JSON', { 'tokenizer.json': '{' }, 'json', /not valid JSON/],
  ['no object', { 'tokenizer.json': '[]' }, 'json', /not a JSON object/],
  ['a missing part', { 'tokenizer.json': { model: {} } }, 'unsupported', /cannot be built/],
  [
    'an unknown part',
    { 'tokenizer.json': { ...JSON_FILE, decoder: { type: 'Magic' } } },
    'unsupported',
    /Magic/,
  ],
];

for (const [name, files, code, message] of FAULTS) {
  test(`refused: ${name}`, (t) =>
    rejectsWith(() => openTokenizer(folder(t, files)), `tokenizer/${code}`, message));
}
