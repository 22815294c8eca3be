import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { GgufFields } from '../../src/engine/model/gguf/fields.ts';
import type { GgufTokenizer } from '../../src/engine/model/gguf/tokenizer.ts';
import { buildGgufTokenizer } from '../../src/engine/model/gguf/tokenizer.ts';
import type { Tokenizer } from '../../src/engine/model/tokenizer.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { readGguf } from '../../src/formats/gguf.ts';
import type { Llama2cPiece } from '../../src/formats/llama2c-tokenizer.ts';
import { parseLlama2cTokenizer } from '../../src/formats/llama2c-tokenizer.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import type { TypedValue } from './gguf-writer.ts';
import { ggufBytes, numbers } from './gguf-writer.ts';
import { encodeLikeLlama2c } from './llama2c-encode.ts';

type Metadata = Readonly<Record<string, TypedValue>>;

/** Through a file, as an import does. */
async function built(t: TestContext, metadata: Metadata, rows = 100_000): Promise<GgufTokenizer> {
  const path = join(temporaryFolder(t), 'model.gguf');
  writeFileSync(path, ggufBytes({ metadata, tensors: {} }));
  return buildGgufTokenizer(new GgufFields(await readGguf(path)), rows);
}

async function opened(t: TestContext, metadata: Metadata): Promise<Tokenizer> {
  const { json } = await built(t, metadata);
  const dir = temporaryFolder(t);
  writeFileSync(join(dir, 'tokenizer.json'), JSON.stringify(json));
  return openTokenizer(dir);
}

/** GPT-2's visible form of the bytes that the texts here have. */
function visible(text: string): string {
  return text.replaceAll(' ', 'Ġ').replaceAll('\n', 'Ċ').replaceAll('²', 'Â²').replaceAll('\r', 'č');
}

/**
 * A tokenizer in which every part of these texts is a token, and any two neighbours merge: what is cut into words
 * beforehand, and nothing else, is then cut into tokens.
 */
function wholeWords(pre: string | undefined, texts: readonly string[]): Metadata {
  const tokens = new Set<string>();
  const merges = new Set<string>();
  for (const text of texts.map(visible))
    for (let start = 0; start < text.length; start++)
      for (let end = start + 1; end <= text.length; end++) {
        tokens.add(text.slice(start, end));
        for (let cut = start + 1; cut < end; cut++)
          merges.add(`${text.slice(start, cut)} ${text.slice(cut, end)}`);
      }
  return {
    'tokenizer.ggml.model': ['text', 'gpt2'],
    ...(pre === undefined ? {} : { 'tokenizer.ggml.pre': ['text', pre] }),
    'tokenizer.ggml.tokens': ['text', [...tokens]],
    'tokenizer.ggml.merges': ['text', [...merges]],
  };
}

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

const TEXT_PIECES = ['▁', 't', 'h', 'e', 'th', '▁t', 'he', 'the', '▁the', '▁▁', 'é', 'éé', '\n', 'n', 'en'];
const BYTE_PIECES = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);
const PIECES = ['<unk>', '<s>', '</s>', ...BYTE_PIECES, ...TEXT_PIECES];
const SCORES = PIECES.map((_, id) => (id < 259 ? 0 : -(((id - 259) * 7) % 17)));

function sentencePiece(extra: Metadata = {}): Metadata {
  return {
    'tokenizer.ggml.model': ['text', 'llama'],
    'tokenizer.ggml.tokens': ['text', PIECES],
    'tokenizer.ggml.scores': ['f32', SCORES],
    'tokenizer.ggml.token_type': ['i32', [2, 3, 3, ...BYTE_PIECES.map(() => 6), ...TEXT_PIECES.map(() => 1)]],
    'tokenizer.ggml.bos_token_id': ['u32', 1],
    'tokenizer.ggml.eos_token_id': ['u32', 2],
    'tokenizer.ggml.unknown_token_id': ['u32', 0],
    ...extra,
  };
}

function asPieces(texts: readonly string[], scores: readonly number[]): Llama2cPiece[] {
  return texts.map((text, id) => ({ score: scores[id]!, bytes: Buffer.from(text.replaceAll('▁', ' ')) }));
}

test('SentencePiece: encodes by score as the reference loop does, and decodes', async (t) => {
  const tokenizer = await opened(t, sentencePiece());
  const pieces = asPieces(PIECES, SCORES);
  const alphabet = ['t', 'h', 'e', 'n', ' ', 'é', '\n', 'x', '🙂', '<'];
  const next = numbers(3);
  for (let i = 0; i < 300; i++) {
    const text = Array.from({ length: next(40) }, () => alphabet[next(alphabet.length)]).join('');
    const ids = tokenizer.encode(text);
    assert.deepEqual([...ids], encodeLikeLlama2c(pieces, text), JSON.stringify(text));
    assert.equal(tokenizer.decode(ids), text);
  }
  assert.deepEqual([...tokenizer.encode('</s>')], [2], 'special tokens in the text are read');
});

test('SentencePiece: without a space in front; a byte order mark; text that is a token', async (t) => {
  const tokens = [...PIECES, '\uFEFF', '<turn>'];
  const metadata = sentencePiece({
    'tokenizer.ggml.tokens': ['text', tokens],
    'tokenizer.ggml.scores': ['f32', [...SCORES, -30, 0]],
    'tokenizer.ggml.token_type': [
      'i32',
      [2, 3, 3, ...new Array<number>(256).fill(6), ...new Array<number>(16).fill(1), 4],
    ],
    'tokenizer.ggml.add_space_prefix': ['flag', false],
  });
  const tokenizer = await opened(t, metadata);
  const id = (text: string): number => tokens.indexOf(text);
  assert.deepEqual([...tokenizer.encode('the the')], [id('the'), id('▁the')]);
  assert.deepEqual([...tokenizer.encode('h\uFEFF<turn>h')], [id('h'), id('\uFEFF'), id('<turn>'), id('h')]);
  assert.equal(tokenizer.decode(tokenizer.encode(' h')), ' h');
  const found = await built(t, metadata);
  assert.deepEqual([found.addBos, found.addEos], [true, false], 'BOS is put in front by default');
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

test('refused: a vocabulary larger than the embedding', (t) =>
  rejectsWith(
    () => built(t, sentencePiece(), 273),
    'gguf/tokenizer',
    /274 tokens but the embedding 273 rows/,
  ));

test('the vocabulary of LLaMA 2', async (t) => {
  const data = join(import.meta.dirname, '..', '..', '..', 'shared', 'data');
  const file = join(data, 'tokenizers', 'llama2', 'tokenizer.bin');
  if (!existsSync(file)) return t.skip('the shared tokenizers are not here');
  const pieces = parseLlama2cTokenizer(file, readFileSync(file), 32000);
  const texts = pieces.map(({ bytes }, id) =>
    id < 3 ? ['<unk>', '<s>', '</s>'][id]! : Buffer.from(bytes).toString().replaceAll(' ', '▁'),
  );
  const tokenizer = await opened(
    t,
    sentencePiece({
      'tokenizer.ggml.tokens': ['text', texts],
      'tokenizer.ggml.scores': ['f32', pieces.map(({ score }) => score)],
      'tokenizer.ggml.token_type': ['i32', texts.map((_, id) => (id < 3 ? 3 : id < 259 ? 6 : 1))],
    }),
  );
  // "<unk>" in a text is the token here, and text for the reference loop.
  const wikitext = readFileSync(join(data, 'text', 'wikitext-2', 'test.txt'), 'utf8').replaceAll(
    '<unk>',
    'it',
  );
  const lines = wikitext.slice(0, 20000).split('\n');
  for (const text of [...lines, '你好 naïve 🙂\t\ufeffx', '    four  spaces']) {
    const ids = tokenizer.encode(text);
    assert.deepEqual([...ids], encodeLikeLlama2c(pieces, text), text);
    assert.equal(tokenizer.decode(ids), text);
  }
});
