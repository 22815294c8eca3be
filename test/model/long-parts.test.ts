/** Tokenizer files whose long parts are read from the text: what JSON.parse and the schema make of them, or nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseWithLongParts } from '../../src/engine/model/tokenizer/long-parts.ts';
import { type BpeModel, model } from '../../src/engine/model/tokenizer/model-schema.ts';
import { PairRanks } from '../../src/engine/model/tokenizer/pair-ranks.ts';
import { isObject } from '../../src/protocol/object.ts';

const VOCAB = {
  '<s>': 0,
  a: 1,
  b: 2,
  ab: 3,
  '"': 4,
  '\\': 5,
  'é\u2028': 6,
  '7': 7,
  constructor: 8,
  ' ': 4294967295,
};
const PAIRS = [
  ['a', 'b'],
  ['"', '\\'],
  ['é\u2028', ' '],
];
const TEXTS = ['a b', '" \\', '#version: 0.2', 'é\u2028 7'];

const fileOf = (vocab: unknown, merges: unknown, more: object = {}): object => ({
  version: '1.0',
  added_tokens: [{ id: 0, content: '"vocab": {' }],
  model: { type: 'BPE', dropout: null, vocab, merges, ...more },
});

function modelOf(file: unknown): BpeModel {
  assert.ok(isObject(file));
  return model.parse(file.model) as BpeModel;
}

/** As the fast way and as JSON.parse read it. */
function both(text: string): [BpeModel, BpeModel] {
  const fast = parseWithLongParts(text);
  assert.notEqual(fast, null, text);
  return [modelOf(fast), modelOf(JSON.parse(text))];
}

test('vocabulary and merges are those of JSON.parse, whatever white space and escapes stand there', () => {
  for (const merges of [PAIRS, TEXTS, []])
    for (const indent of [0, 1, '\t', '\r\n  '])
      for (const vocab of [VOCAB, {}]) {
        const text = JSON.stringify(fileOf(vocab, merges), null, indent);
        // Non-ASCII characters may be written as escapes, as Python does by default.
        const escaped = text.replace(
          /[^ -~\s]|\u2028/g,
          (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
        );
        if (merges === TEXTS) {
          // The first line of a merges.txt is left to the schema.
          assert.equal(parseWithLongParts(text), null);
          continue;
        }
        for (const written of [text, escaped]) {
          const [fast, slow] = both(written);
          assert.deepEqual(fast, slow);
          assert.equal(fast.vocab.size, Object.keys(vocab).length);
        }
      }
  const [fast, slow] = both(JSON.stringify(fileOf(VOCAB, TEXTS.toSpliced(2, 1))));
  assert.deepEqual(fast, slow);
});

test('the rest of the file stays as it is, with texts that look like its parts', () => {
  const file = fileOf(VOCAB, PAIRS, { byte_fallback: true });
  const found = parseWithLongParts(JSON.stringify(file));
  assert.ok(isObject(found));
  const { model: _, ...rest } = file as { model: unknown };
  const { model: __, ...kept } = found;
  assert.deepEqual(kept, rest);
  assert.equal(modelOf(found).byteFallback, true);
});

test('what is written otherwise is left to JSON.parse and the schema', () => {
  const good = JSON.stringify(fileOf(VOCAB, PAIRS));
  const others = [
    good.replace('"a":1', '"a":01'),
    good.replace('"a":1', '"a":-1'),
    good.replace('"a":1', '"a":1.5'),
    good.replace('"a":1', '"a":1e0'),
    good.replace('"a":1', '"a":4294967296'),
    good.replace('"a":1', '"a":null'),
    good.replace('"a":1,', '"a":1,,'),
    good.replace('"a":1', '"\\q":1'),
    good.replace('["a","b"]', '["a"]'),
    good.replace('["a","b"]', '["a","b","c"]'),
    good.replace('["a","b"]', '"ab"'),
    good.replace('["a","b"]', '"a b c"'),
    good.replace('["a","b"]', '7'),
    good.replace('"merges"', '"margin"'),
    good.slice(0, -1),
    good.slice(0, good.indexOf('"a"') + 2),
    `${good}x`,
    JSON.stringify({ vocab: VOCAB, merges: PAIRS }),
    JSON.stringify({ ...fileOf(VOCAB, PAIRS), decoder: { vocab: {} }, model: { type: 'BPE' } }),
    '[]',
    '',
  ];
  for (const text of others) {
    assert.notEqual(text, good);
    assert.equal(parseWithLongParts(text), null, text);
  }
});

test('ranks of pairs are those of a Map, in a full table', () => {
  const ids = [0, 1, 2, 3, 255, 256, 65535, 128255, 2 ** 31, 2 ** 32 - 1];
  const pairs = ids.flatMap((left) => ids.map((right) => [left, right] as const));
  const ranks = new PairRanks(pairs.length);
  const expected = new Map<string, number>();
  for (const [rank, [left, right]] of pairs.entries())
    if (rank % 3 !== 0) {
      ranks.set(left, right, rank);
      expected.set(`${left} ${right}`, rank);
    }
  // The last of equal pairs counts.
  ranks.set(1, 2, 1000);
  expected.set('1 2', 1000);
  for (const [left, right] of pairs) assert.equal(ranks.get(left, right), expected.get(`${left} ${right}`));
  assert.equal(new PairRanks(0).get(0, 0), undefined);
});
