import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { byteCharacters, trainBytePairs } from '../../scripts/demo/bpe.ts';
import { generateTrainingText } from '../../scripts/demo/corpus.ts';
import { SPECIAL_TOKENS, tokenizerJson, VOCABULARY_SIZE } from '../../scripts/demo/tokenizer.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';

const DEMO = join(import.meta.dirname, '..', '..', 'examples', 'demo');
const MODEL = join(DEMO, 'model');
/** Marks, scripts and white space that the stories never use. */
const ODD = 'Zürich 中文 😀\n\n\ttab  two   spaces \r\n "Don\'t", we\'ll; 12345 \u00ad\u007f é e\u0301 ﬁ';
/** Ids of ODD by Hugging Face's own library (Python package tokenizers 0.23) with this tokenizer.json. */
const ODD_IDS = [
  59, 129, 122, 426, 432, 222, 162, 118, 257, 164, 246, 231, 222, 174, 255, 248, 224, 200, 200, 199, 85, 66,
  67, 222, 755, 222, 222, 559, 66, 68, 346, 222, 203, 200, 272, 37, 320, 8, 85, 3, 13, 502, 8, 276, 28, 222,
  18, 19, 20, 21, 22, 222, 128, 257, 223, 222, 129, 104, 327, 138, 225, 222, 173, 107, 225,
];

describe('the demo tokenizer', () => {
  it('is what training gives', () => {
    const trained = tokenizerJson(trainBytePairs(generateTrainingText(), VOCABULARY_SIZE, SPECIAL_TOKENS));
    assert.deepEqual(JSON.parse(readFileSync(join(MODEL, 'tokenizer.json'), 'utf8')), trained);
  });

  it('opens, with 1024 tokens and <s>, </s> as its special ones', () => {
    const tokenizer = openTokenizer(MODEL, VOCABULARY_SIZE);
    assert.deepEqual(
      { size: tokenizer.vocabSize, bos: tokenizer.bosId, eos: tokenizer.eosId },
      { size: 1024, bos: 0, eos: 1 },
    );
    assert.deepEqual(Array.from(tokenizer.encode('<s>x</s>')), [0, 89, 1]);
  });

  it('gives back every text, and about three characters a token on its own', () => {
    const tokenizer = openTokenizer(MODEL);
    const test = readFileSync(join(DEMO, 'test.txt'), 'utf8');
    const ids = tokenizer.encode(test);
    assert.ok(tokenizer.decode(ids) === test);
    assert.ok(test.length / ids.length > 3, `${test.length / ids.length}`);
    assert.equal(tokenizer.decode(tokenizer.encode(ODD)), ODD);
  });

  it('gives the ids of the reference library', () => {
    assert.deepEqual(Array.from(openTokenizer(MODEL).encode(ODD)), ODD_IDS);
  });
});

describe('trainBytePairs', () => {
  it('merges the most frequent pair first, the first in order among equals', () => {
    const { merges, vocabulary } = trainBytePairs('abab abab cdcd', 256 + 1 + 3, ['<s>']);
    assert.deepEqual(merges, [
      ['a', 'b'],
      ['ab', 'ab'],
      ['c', 'd'],
    ]);
    assert.equal(vocabulary.get('<s>'), 0);
    assert.equal(vocabulary.get('abab'), 258);
  });

  it('has one character for each byte', () => {
    assert.equal(new Set(byteCharacters()).size, 256);
    assert.equal(byteCharacters()[0x20], 'Ġ');
    assert.equal(byteCharacters()[0x0a], 'Ċ');
  });

  it('says when the text is too short', () => {
    assert.throws(() => trainBytePairs('ab', 400, []), RangeError);
  });
});
