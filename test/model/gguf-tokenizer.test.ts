/** Byte-level BPE in GGUF files, and tokenizers that are refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UserError } from '../../src/protocol/errors.ts';
import { rejectsWith } from '../formats/support.ts';
import type { Metadata } from './gguf-tokenizers.ts';
import { built, opened, PIECES, sentencePiece, wholeWords } from './gguf-tokenizers.ts';

const WORDS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'gpt-2': [
    ['ab', ' 12', ' c', '!', ' '],
    ['we', "'ll", ' I', "'", 'LL'],
    ['a', '\n\n', ' b', ' ', ' c'],
    ['x', '²', 'y', ' ²4'],
  ],
  smollm: [
    ['ab', ' ', '1', '2', ' c', '!', ' '],
    ['we', "'ll", ' I', "'", 'LL'],
    ['x', '²', 'y', ' ', '²', '4'],
  ],
  'llama-bpe': [
    ['ab', ' ', '123', '4', ' c'],
    ['we', "'LL", '.go', '(x', ')\n\n', 'y'],
    ['a', '\n\n', ' b', ' ', ' c', '\r\n'],
    ['HelloWorld'],
  ],
  qwen2: [['ab', ' ', '1', '2', '3', ' c'], ['we', "'LL", '.go', '(x', ')\n\n', 'y'], ['HelloWorld']],
  tekken: [
    ['ab', ' ', '1', '2', ' c'],
    ['Hello', 'World', ' NASA', ' x', '/\n', 'y'],
  ],
  'smaug-bpe': [['a', ',', ' ', '123', '4', " '", 'S', ' .', 'go', ' NASAx', '/\n', '3', '.', '14', '  ']],
  pixtral: [['a', ',', ' ', '123', '4', " '", 'S', ' .', 'go', ' NASAx', '/\n', '3', '.', '14', '  ']],
  'gpt-4o': [
    ['Hello', 'World', '123', '45', " it's", " we'LL", ' x', '=', '1', ';', ' (', 'foo', ')\n\n', 'b'],
  ],
  'deepseek-llm': [
    ['a', ',', ' ', '1234', " '", 'S', ' .', 'go', ' NASAx', '/', '\n', '3', '.', '14', ' end', '  '],
  ],
  'deepseek-coder': [
    ['a', ',', ' ', '1', '2', " '", 'S', ' .', 'go', ' NASAx', '/', '\n', '3', '.', '1', '4', ' end', '  '],
  ],
  'deepseek-v3': [
    [
      'Hello',
      ' World',
      '123',
      '45',
      ' it',
      "'s",
      ' we',
      "'LL",
      ' x',
      '=',
      '1',
      ';',
      ' (',
      'foo',
      ')\n\n',
      'b',
    ],
  ],
  viking: [
    ['Hello', ' World', '1', '2', '3', " it's", " we'LL", ' x=', '1', ';', ' (', 'foo', ')\n\n', 'bar'],
  ],
  'poro-chat': [['a', ',', ' 1234', " 'S", ' .', 'go', ' NASAx/', '\n', '3', '.', '14', ' end', '  ']],
  falcon: [
    [
      'a',
      ',',
      ' ',
      '123',
      '4',
      ' ',
      "'",
      'S',
      ' ',
      '.',
      'go',
      ' NASAx',
      '/',
      '\n',
      '3',
      '.',
      '14',
      ' end',
      '  ',
    ],
  ],
  default: [
    ['a', ',', ' ', '123', '4', ' b'],
    ['we', "'", 'll', ' go'],
  ],
};

for (const [pre, cases] of Object.entries(WORDS)) {
  test(`byte-level BPE: words of "${pre}"`, async (t) => {
    const texts = cases.map((words) => words.join(''));
    const tokenizer = await opened(t, wholeWords(pre, texts));
    for (const [i, words] of cases.entries()) {
      const ids = tokenizer.encode(texts[i]!);
      assert.deepEqual(
        [...ids].map((id) => tokenizer.decode([id])),
        words,
      );
      assert.equal(tokenizer.decode(ids), texts[i]);
    }
  });
}

test('a tokenizer without a name is llama.cpp’s default, with a warning', async (t) => {
  const texts = ['a, 1234'];
  const nameless = await built(t, wholeWords(undefined, texts));
  const named = await built(t, wholeWords('default', texts));
  assert.deepEqual(nameless.json, named.json);
  assert.match(nameless.warnings.join(), /tokenizer\.ggml\.pre is missing.*llama\.cpp's default is used/);
  assert.match(named.warnings.join(), /is "default"/);
  assert.deepEqual((await built(t, wholeWords('qwen2', texts))).warnings, []);
});

test('byte-level BPE: kinds of tokens, and what is put around a text', async (t) => {
  const base: Metadata = {
    'tokenizer.ggml.model': ['text', 'gpt2'],
    'tokenizer.ggml.pre': ['text', 'llama-bpe'],
    'tokenizer.ggml.tokens': ['text', ['a', 'b', 'ab', 'ba', '<|x|>', '<call>', '[PAD6]', '<|end|>']],
    'tokenizer.ggml.token_type': ['i32', [1, 1, 1, 1, 3, 4, 5, 3]],
    'tokenizer.ggml.merges': ['text', ['a b']],
    'tokenizer.ggml.bos_token_id': ['u32', 4],
    'tokenizer.ggml.eos_token_id': ['u32', 7],
  };
  const tokenizer = await opened(t, base);
  // "ba" is a token that no merge makes: this tokenizer takes it whole.
  assert.deepEqual([...tokenizer.encode('ba')], [3]);
  assert.deepEqual([...tokenizer.encode('ab<|x|>a<call>b')], [2, 4, 0, 5, 1]);
  assert.equal(tokenizer.decode([2, 4, 0, 5]), 'aba<call>', 'control tokens are left out, others are text');
  assert.equal(tokenizer.vocabSize, 8);
  const found = await built(t, base);
  assert.deepEqual([found.addBos, found.addEos], [true, false], 'llama-bpe puts BOS in front by default');
  assert.ok(!JSON.stringify(found.json).includes('[PAD6]'), 'a row without a token has none');
  const around = await built(t, {
    ...base,
    'tokenizer.ggml.add_bos_token': ['flag', false],
    'tokenizer.ggml.add_eos_token': ['flag', true],
  });
  assert.deepEqual([around.addBos, around.addEos], [false, true]);
  const { post_processor: post } = around.json as { post_processor: { single: unknown } };
  assert.deepEqual(post.single, [
    { Sequence: { id: 'A', type_id: 0 } },
    { SpecialToken: { id: '<|end|>', type_id: 0 } },
  ]);
});

const FAULTS: [name: string, metadata: Metadata, message: RegExp][] = [
  ['none', {}, /holds no tokenizer/],
  [
    'another kind',
    sentencePiece({ 'tokenizer.ggml.model': ['text', 'bert'] }),
    /"bert"; supported are "gpt2"/,
  ],
  ['an unknown way to cut words', wholeWords('porridge', ['a']), /pre is "porridge"; supported are gpt-2/],
  [
    'no merges',
    {
      'tokenizer.ggml.model': ['text', 'gpt2'],
      'tokenizer.ggml.pre': ['text', 'gpt-2'],
      'tokenizer.ggml.tokens': ['text', ['a']],
    },
    /merges is missing/,
  ],
  [
    'a merge of unknown tokens',
    { ...wholeWords('gpt-2', ['ab']), 'tokenizer.ggml.merges': ['text', ['a b', 'b b']] },
    /merge 1 \("b b"\)/,
  ],
  [
    'equal tokens',
    { ...wholeWords('gpt-2', ['ab']), 'tokenizer.ggml.tokens': ['text', ['a', 'b', 'a']] },
    /tokens 0 and 2 are both "a"/,
  ],
  [
    'too few types',
    sentencePiece({ 'tokenizer.ggml.token_type': ['i32', [1]] }),
    /274 tokens but 1 token types/,
  ],
  ['too few scores', sentencePiece({ 'tokenizer.ggml.scores': ['f32', [1]] }), /274 tokens but 1 scores/],
  [
    'a missing byte',
    sentencePiece({ 'tokenizer.ggml.tokens': ['text', PIECES.with(70, 'other')] }),
    /1 byte tokens are missing, such as <0x43>/,
  ],
];

for (const [name, metadata, message] of FAULTS)
  test(`refused: ${name}`, (t) => rejectsWith(() => built(t, metadata), 'gguf/tokenizer', message));

test('an unknown way to cut words: the hint names the ways out', (t) =>
  assert.rejects(
    () => built(t, wholeWords('porridge', ['a'])),
    (error) => error instanceof UserError && /Hugging Face folder.*--pre-tokenizer NAME/.test(error.hint),
  ));

test('refused: a vocabulary larger than the embedding', (t) =>
  rejectsWith(
    () => built(t, sentencePiece(), 273),
    'gguf/tokenizer',
    /274 tokens but the embedding 273 rows/,
  ));
