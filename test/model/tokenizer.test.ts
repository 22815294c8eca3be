import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { withNumbers, withWords } from '../../src/engine/model/tokenizer-words.ts';
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

test('cutting a text into words changes no token', () => {
  const json = tokenizerJson(WORD_MERGES);
  const cut = withWords(json);
  assert.notEqual(cut, json);
  const [whole, words] = [new HuggingFaceTokenizer(json, {}), new HuggingFaceTokenizer(cut, {})];
  for (const text of allTexts('abc ', 7))
    assert.deepEqual(words.encode(text).ids, whole.encode(text).ids, text);
});

test('a tokenizer whose merges span words is left alone', () => {
  const spanning = tokenizerJson([...WORD_MERGES, ['a', '▁']]);
  assert.equal(withWords(spanning), spanning);
  const model = { ...(tokenizerJson(WORD_MERGES).model as object), ignore_merges: true };
  const whole = { ...tokenizerJson(WORD_MERGES), model };
  assert.equal(withWords(whole), whole);
  const split = tokenizerJson(WORD_MERGES, {
    type: 'Split',
    pattern: { String: 'a' },
    behavior: 'Isolated',
    invert: false,
  });
  assert.equal(withWords(split), split);
});

/** The tokens that the reference library (Rust tokenizers 0.23) gives for "a  a   ab". */
const METASPACE: [name: string, settings: object, tokens: string[]][] = [
  ['splits by default', {}, ['▁a', '▁', '▁a', '▁', '▁', '▁a', 'b']],
  ['does not split when told so', { split: false }, ['▁a', '▁▁', 'a', '▁▁', '▁a', 'b']],
];

for (const [name, settings, tokens] of METASPACE) {
  test(`Metaspace ${name}`, () => {
    const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', ...settings };
    const json = { ...tokenizerJson(WORD_MERGES, metaspace), normalizer: null };
    assert.deepEqual(new HuggingFaceTokenizer(withWords(json), {}).encode('a  a   ab').tokens, tokens);
  });
}

/** The reference library (Rust tokenizers 0.23) takes every number of Unicode for a digit. */
for (const individual of [true, false]) {
  test(`Digits ${individual ? 'one by one' : 'together'}: ², ½ and ٣ are digits`, () => {
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
    const { tokens } = new HuggingFaceTokenizer(withNumbers(json), {}).encode('a1²a½٣');
    assert.deepEqual(tokens, individual ? ['a', '1', '²', 'a', '½', '٣'] : ['a', '1²', 'a', '½٣']);
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
