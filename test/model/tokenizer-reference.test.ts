/** Ids of odd texts, against those of the tokenizers library in Rust (scripts/goldens/make_tokenizers.py). */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import type { Tokenizer } from '../../src/engine/model/tokenizer.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { temporaryFolder } from '../formats/support.ts';

interface Goldens {
  readonly texts: readonly string[];
  readonly models: Readonly<Record<string, object>>;
  readonly cases: readonly {
    readonly name: string;
    readonly model: string;
    readonly added_tokens: readonly object[];
    readonly normalizer: object | null;
    readonly pre_tokenizer: object | null;
    readonly ids: readonly (readonly number[])[];
  }[];
}

const FILE = join(import.meta.dirname, '..', 'goldens', 'tokenizers.json');
const { texts, models, cases }: Goldens = JSON.parse(readFileSync(FILE, 'utf8'));

function opened(t: TestContext, json: object): Tokenizer {
  const dir = temporaryFolder(t);
  writeFileSync(join(dir, 'tokenizer.json'), JSON.stringify(json));
  return openTokenizer(dir);
}

for (const { name, model, ids, ...parts } of cases) {
  test(`as in the reference library: ${name}`, (t) => {
    const tokenizer = opened(t, { ...parts, decoder: null, model: models[model] });
    for (const [i, text] of texts.entries())
      assert.deepEqual([...tokenizer.encode(text)], ids[i], JSON.stringify(text));
  });
}

/**
 * A line of 50,000 characters without spaces is one word for most tokenizers. Where time grows with its square, this
 * takes minutes; where the stack grows with it, this is a RangeError.
 */
const LONG = 50_000;
for (const name of ['GPT-2', 'LLaMA 2: bpe, bytes', 'one long word: unigram, bytes']) {
  test(`a long line: ${name}`, (t) => {
    const golden = cases.find((found) => found.name === name);
    assert.ok(golden);
    const { ids, model, name: _, ...parts } = golden;
    const tokenizer = opened(t, { ...parts, decoder: null, model: models[model] });
    const begun = performance.now();
    for (const character of ['t', '猫', '中', "'", '\u0301']) {
      const [short, long] = [12, LONG].map((length) => tokenizer.encode(character.repeat(length)));
      assert.ok(long!.length >= LONG / 12 && short!.length > 0);
    }
    // A tenth of this is usual on one slow core.
    assert.ok(performance.now() - begun < 60_000);
  });
}
