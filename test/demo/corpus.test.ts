import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { generateCorpus } from '../../scripts/demo/corpus.ts';
import { enumerate, expand, tidy } from '../../scripts/demo/grammar.ts';
import { Rng } from '../../src/engine/rotation/random.ts';

const DEMO = join(import.meta.dirname, '..', '..', 'examples', 'demo');

describe('the demo corpus', () => {
  for (const split of ['calibration', 'test'] as const) {
    it(`${split}.txt is what the generator makes`, () => {
      assert.ok(readFileSync(join(DEMO, `${split}.txt`), 'utf8') === generateCorpus(split));
    });
  }

  it('has no story twice, and none in two texts', () => {
    const stories = [
      generateCorpus('train', 500_000),
      generateCorpus('calibration'),
      generateCorpus('test'),
    ].flatMap((text) => text.trimEnd().split('\n\n'));
    assert.ok(stories.length > 500);
    assert.equal(new Set(stories).size, stories.length);
  });

  it('leaves no trace of templates and keeps to plain sentences', () => {
    const text = generateCorpus('calibration');
    assert.doesNotMatch(text, /[{}|()]|undefined| {2}| [,.;]|\b[Aa] [aeiou]|\.\./);
    const lowercase = text.match(/[.] [a-z]+/g) ?? [];
    assert.deepEqual(lowercase, [], 'sentences begin with a capital');
  });

  it('uses a vocabulary of 600 to 1000 words', () => {
    const words = new Set(
      generateCorpus('train', 1_000_000)
        .toLowerCase()
        .match(/[a-z]+/g),
    );
    assert.ok(words.size >= 600 && words.size <= 1000, `${words.size} words`);
  });

  it('adds up', () => {
    const sums = generateCorpus('train', 400_000).match(/\d+ [+-] \d+ = \d+/g) ?? [];
    assert.ok(sums.length > 20);
    for (const sum of sums) {
      const [left, sign, right, , result] = sum.split(' ');
      assert.equal(Number(left) + (sign === '+' ? 1 : -1) * Number(right), Number(result), sum);
    }
  });
});

describe('the grammar', () => {
  it('expands names and nested alternatives', () => {
    const seen = new Set<string>();
    const rng = new Rng(1);
    for (let i = 0; i < 100; i++) seen.add(expand('{x} (a|b(c|d)|)!', { x: 'X' }, rng));
    assert.deepEqual([...seen].sort(), ['X !', 'X a!', 'X bc!', 'X bd!']);
  });

  it('refuses wrong templates', () => {
    const rng = new Rng(1);
    assert.throws(() => expand('{nobody}', {}, rng), /nobody/);
    assert.throws(() => expand('(a|b', {}, rng), /missing/);
    assert.throws(() => expand('a)', {}, rng), /unbalanced/);
  });

  it('tidies articles, places, spaces and capitals', () => {
    assert.equal(
      tidy('tom had  a orange ball . "who?" asked tom. "it is at the forest," he said.'),
      'Tom had an orange ball. "Who?" asked tom. "It is in the forest," he said.',
    );
    assert.equal(enumerate(['a']), 'a');
    assert.equal(enumerate(['a', 'b', 'c']), 'a, b and c');
  });
});
