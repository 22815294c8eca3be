/** Damaged tokenizer files: one clear message each, whatever is wrong, and nothing wrong is taken for right. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openTokenizer, type Tokenizer } from '../../src/engine/model/tokenizer.ts';
import { UserError } from '../../src/protocol/errors.ts';
import { rejectsWith } from '../formats/support.ts';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const FLAGS = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
const MODEL = {
  type: 'BPE',
  dropout: null,
  unk_token: '<s>',
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
  vocab: { '<s>': 0, a: 1, b: 2, ab: 3, '▁': 4 },
  merges: [['a', 'b']],
};
const WHOLE: { readonly [key: string]: Json } = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [
    { id: 0, content: '<s>', ...FLAGS },
    { id: 5, content: '<pad>', ...FLAGS },
  ],
  normalizer: {
    type: 'Sequence',
    normalizers: [
      { type: 'NFC' },
      { type: 'Prepend', prepend: '▁' },
      { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      { type: 'Strip', strip_left: false, strip_right: true },
    ],
  },
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex: '\\p{N}' }, behavior: 'Isolated', invert: false },
      { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false },
      { type: 'Digits', individual_digits: true },
    ],
  },
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: { '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] } },
  },
  decoder: { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Fuse' }] },
  model: MODEL,
};
const UNIGRAM = {
  type: 'Unigram',
  unk_id: 0,
  byte_fallback: true,
  vocab: [['<s>', 0] as const, ['a', -1] as const],
};

const DIR = mkdtempSync(join(tmpdir(), 'spinquant-'));
after(() => rmSync(DIR, { recursive: true }));

function open(json: Json, config: Json = {}, rows?: number): Tokenizer {
  writeFileSync(join(DIR, 'tokenizer.json'), typeof json === 'string' ? json : JSON.stringify(json));
  writeFileSync(join(DIR, 'tokenizer_config.json'), JSON.stringify(config));
  return openTokenizer(DIR, rows);
}

const withModel = (change: Json & object): Json => ({ ...WHOLE, model: { ...MODEL, ...change } });
const withId = (id: Json): Json => withModel({ vocab: { ...MODEL.vocab, c: id } });
const nested = (levels: number): string =>
  `{"normalizer":${'{"type":"Sequence","normalizers":['.repeat(levels)}${']}'.repeat(levels)}}`;

const FAULTS: [name: string, json: Json, message: RegExp][] = [
  ['a negative id', withId(-5), /model\.vocab: the id of "c" is -5; an id is a whole number from 0/],
  ['a fraction as an id', withId(3.5), /the id of "c" is 3\.5/],
  ['a text as an id', withId('1e5'), /the id of "c" is "1e5"/],
  ['an id above 32 bits', withId(2 ** 32), /the id of "c" is 4294967296/],
  ['a list as the vocabulary', withModel({ vocab: [1] }), /model\.vocab: must be an object of ids by text/],
  [
    'an added id of another type',
    { ...WHOLE, added_tokens: [{ id: '1', content: 'x', ...FLAGS }] },
    /added_tokens\[0\]\.id: expected number, received string/,
  ],
  ['a key at the top that is not known', { ...WHOLE, magic: 1 }, /Unrecognized key: "magic"/],
  [
    'a key of a part that is not known',
    { ...WHOLE, normalizer: { type: 'NFC', form: 2 } },
    /normalizer: Unrecognized key: "form"/,
  ],
  ['a key of the model that is not known', withModel({ alpha: 1 }), /model: Unrecognized key: "alpha"/],
  ['another version', { ...WHOLE, version: '2.0' }, /version/],
  [
    'a normalizer that is not read',
    { ...WHOLE, normalizer: { type: 'BertNormalizer' } },
    /normalizer: has the type "BertNormalizer"; the types that are read here are Sequence, NFC/,
  ],
  [
    'a pre-tokenizer that is not read',
    { ...WHOLE, pre_tokenizer: { type: 'Magic' } },
    /pre_tokenizer: has the type "Magic"/,
  ],
  ['a part without a type', { ...WHOLE, pre_tokenizer: {} }, /pre_tokenizer: has no type/],
  ['a model that is not read', { ...WHOLE, model: { type: 'Magic' } }, /model: is of another type than BPE/],
  [
    '[null] as a post-processor',
    { ...WHOLE, post_processor: { type: 'Sequence', processors: [null] } },
    /post_processor\.processors\[0\]/,
  ],
  [
    '[null] in a template',
    {
      ...WHOLE,
      post_processor: { type: 'TemplateProcessing', single: [null], pair: [], special_tokens: {} },
    },
    /post_processor\.single\[0\]/,
  ],
  [
    '[null] as a decoder',
    { ...WHOLE, decoder: { type: 'Sequence', decoders: [null] } },
    /decoder\.decoders\[0\]: has no type/,
  ],
  ['parts nested 50 deep', nested(50), /nested more than 64 levels deep/],
  ['merges left out at random', withModel({ dropout: 0.1 }), /model\.dropout: leaves out merges at random/],
  ['a merge of one', withModel({ merges: ['ab'] }), /model\.merges: merge 0 is "ab"/],
  [
    'a merge of an unknown token',
    withModel({ merges: [['a', 'z']] }),
    /the merge \["a","z"\] needs the token "z"/,
  ],
  [
    'a merge to an unknown token',
    withModel({ merges: [['b', 'a']] }),
    /needs the token "ba", which model\.vocab lacks/,
  ],
  [
    'an unknown token that is not there',
    withModel({ unk_token: '<unk>' }),
    /unk_token "<unk>" is not in model\.vocab/,
  ],
  [
    'an unk_id that is not there',
    { ...WHOLE, model: { ...UNIGRAM, unk_id: 9 } },
    /unk_id that is not in its vocabulary/,
  ],
  [
    'a score that is a text',
    { ...WHOLE, model: { ...UNIGRAM, vocab: [['<s>', '0']] } },
    /model\.vocab\[0\]\[1\]: expected number/,
  ],
  [
    'a table that is damaged',
    { ...WHOLE, normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAA' } },
    /precompiled_charsmap is damaged/,
  ],
  [
    'a pattern that is no regular expression',
    {
      ...WHOLE,
      pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated', invert: false },
    },
    /cannot be built: .*regular expression/i,
  ],
  [
    'an added token that becomes nothing',
    {
      ...WHOLE,
      normalizer: { type: 'StripAccents' },
      added_tokens: [{ id: 5, content: '\u0301', ...FLAGS, normalized: true }],
    },
    /leaves nothing of the added token/,
  ],
];

for (const [name, json, message] of FAULTS)
  test(`refused: ${name}`, () => rejectsWith(() => open(json), 'tokenizer/unsupported', message));

test('refused: wrong types in tokenizer_config.json', async () => {
  const faults: [Json, RegExp][] = [
    [
      { bos_token: 5 },
      /tokenizer_config\.json: bos_token: must be a text, an object with the text as "content", or null/,
    ],
    [{ eos_token: ['</s>'] }, /eos_token: must be/],
    [{ added_tokens_decoder: { x: { content: 'y' } } }, /added_tokens_decoder/],
    [{ added_tokens_decoder: { 5: { content: 1 } } }, /added_tokens_decoder\.5\.content: expected string/],
  ];
  for (const [config, message] of faults)
    await rejectsWith(() => open(WHOLE, config), 'tokenizer/config', message);
});

test('tokens that only tokenizer_config.json lists are read, too', () => {
  const tokenizer = open(WHOLE, { added_tokens_decoder: { 6: { content: '<x>', special: true } } });
  assert.deepEqual([...tokenizer.encode('<x>')], [6]);
});

test('an id of a thousand million takes no time', () => {
  assert.equal(open(withId(1e9)).vocabSize, 1e9 + 1);
});

test('names of JavaScript’s own are tokens like any other', () => {
  const names = ['__proto__', 'constructor', 'toString'];
  const entries = names.map((name, i) => `${JSON.stringify(name)}:${i}`).join();
  const words = `{"model":{"type":"WordLevel","unk_token":"toString","vocab":{${entries}}},"pre_tokenizer":{"type":"WhitespaceSplit"}}`;
  assert.deepEqual([...open(words).encode(`valueOf ${names.join(' ')}`)], [2, 0, 1, 2]);
});

test('a token beyond the embedding is refused where a text has it, and only there', async () => {
  const tokenizer = open(WHOLE, { bos_token: '<s>' }, 5);
  assert.deepEqual([...tokenizer.encode('ab', { bos: true })], [0, 4, 3]);
  await rejectsWith(
    () => tokenizer.encode('ab<pad>', { source: 'texts/test.txt' }),
    'tokenizer/no-row',
    /^texts\/test\.txt has the token "<pad>" \(id 5\), but the model's embedding has 5 rows \(ids 0 to 4\)\.$/,
  );
  await rejectsWith(
    () => open(WHOLE, { bos_token: '<pad>' }, 5).bosId,
    'tokenizer/no-row',
    /beginning of a sequence has the token "<pad>"/,
  );
  await rejectsWith(() => open(WHOLE, {}, 4), 'tokenizer/vocabulary', /ids up to 4 \("▁"\)/);
});

test('an added token whose number contradicts the vocabulary is refused where a text has it', async () => {
  const tokenizer = open({ ...WHOLE, added_tokens: [{ id: 9, content: '<pad>', ...FLAGS }] });
  assert.deepEqual([...tokenizer.encode('ab')], [4, 3]);
  await rejectsWith(
    () => tokenizer.encode('<pad>'),
    'tokenizer/no-row',
    /"<pad>" \(id 5\), but .* gives it the id 9/,
  );
});

test('a character without a token is named where there is no unknown token', async () => {
  const tokenizer = open({ model: { ...UNIGRAM, unk_id: null, byte_fallback: false } });
  await rejectsWith(
    () => tokenizer.encode('aé', { source: 'a.txt' }),
    'tokenizer/unknown-character',
    /^a\.txt has "é"/,
  );
});

const ODD: readonly Json[] = [null, true, -5, 3.5, 'x', [null], {}];

/** Every value of a file, replaced by each odd one, or left out. */
function* damaged(value: Json): Generator<Json> {
  yield* ODD;
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) for (const other of damaged(item)) yield value.with(i, other);
    return;
  }
  for (const [key, item] of Object.entries(value)) {
    const { [key]: _, ...rest } = value as Record<string, Json>;
    yield rest;
    for (const other of damaged(item)) yield { ...rest, [key]: other };
  }
}

test('whatever is damaged, the file opens or one message tells why', () => {
  let [opened, refused] = [0, 0];
  for (const whole of [WHOLE, { ...WHOLE, model: UNIGRAM }])
    for (const json of damaged(whole)) {
      try {
        const tokenizer = open(JSON.stringify(json));
        tokenizer.decode(tokenizer.encode('ab 12\u00e9<s>'));
        opened++;
      } catch (error) {
        assert.ok(
          error instanceof UserError,
          `${JSON.stringify(json)}: ${error instanceof Error ? error.stack : error}`,
        );
        assert.ok(error.message.length < 1000 && error.hint !== '', error.message);
        refused++;
      }
    }
  assert.ok(opened > 100 && refused > 1000, `${opened} opened, ${refused} refused`);
});
