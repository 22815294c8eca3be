/** SentencePiece BPE in GGUF files, against a quadratic loop. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Llama2cPiece } from '../../src/formats/llama2c-tokenizer.ts';
import { parseLlama2cTokenizer } from '../../src/formats/llama2c-tokenizer.ts';
import { built, opened, PIECES, SCORES, sentencePiece } from './gguf-tokenizers.ts';
import { numbers } from './gguf-writer.ts';
import { encodeLikeLlama2c } from './llama2c-encode.ts';

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
