/** Text that is given out token by token is the text of all tokens. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { TokenText } from '../../src/engine/generate/token-text.ts';
import { openTokenizer, type Tokenizer } from '../../src/engine/model/tokenizer.ts';
import { temporaryFolder } from '../formats/support.ts';
import { noise } from '../helpers/tiny-network.ts';

interface Goldens {
  readonly models: Readonly<Record<string, object>>;
  readonly cases: readonly { readonly name: string; readonly model: string; readonly ids: unknown }[];
}

const FILE = join(import.meta.dirname, '..', 'goldens', 'tokenizers.json');
const { models, cases }: Goldens = JSON.parse(readFileSync(FILE, 'utf8'));

/** A tokenizer whose characters may be several tokens, with the decoder that models have with it. */
const DECODERS = {
  'GPT-2': { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
  'LLaMA 2: bpe, bytes': {
    type: 'Sequence',
    decoders: [
      { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
      { type: 'Strip', content: ' ', start: 1, stop: 0 },
    ],
  },
} as const;
type Name = keyof typeof DECODERS;

function opened(t: TestContext, name: Name): Tokenizer {
  const golden = cases.find((it) => it.name === name);
  assert.ok(golden);
  const { ids: _, model, name: __, ...parts } = golden;
  const dir = temporaryFolder(t);
  writeFileSync(
    join(dir, 'tokenizer.json'),
    JSON.stringify({ ...parts, decoder: DECODERS[name], model: models[model] }),
  );
  return openTokenizer(dir);
}

function pieces(tokenizer: Tokenizer, prompt: readonly number[], ids: readonly number[]): string[] {
  const text = new TokenText(tokenizer.decode, prompt);
  return [...ids.map((id) => text.push(id)), text.rest()];
}

const TEXT = 'Once, naïve 猫 sat — 👩‍👩‍👧 on\n\n  the mat. 🇫🇷 e\u0301  the the';

for (const name of Object.keys(DECODERS) as Name[])
  test(`${name}: characters come whole, and spaces where they belong`, (t) => {
    const tokenizer = opened(t, name);
    const ids = [...tokenizer.encode(TEXT)];
    const characters = new Set(TEXT);
    let cut = 0;
    for (let start = 0; start < ids.length; start++) {
      const before = tokenizer.decode(ids.slice(0, start));
      const found = pieces(tokenizer, ids.slice(0, start), ids.slice(start));
      // A prompt that ends inside of a character has only marks of its bytes.
      const isWhole = TEXT.startsWith(before) && !before.endsWith('\ufffd');
      if (!isWhole) cut++;
      const expected = TEXT.slice(before.replace(/\ufffd+$/, '').length);
      assert.equal(found.join(''), expected, `from ${start}`);
      for (const piece of found) for (const one of piece) assert.ok(characters.has(one), piece);
    }
    assert.ok(cut > 3, 'some prompts end inside of a character');
    assert.ok(pieces(tokenizer, [], ids).includes(''), 'some tokens have no character of their own');
  });

test('any bytes: what is given out at last is what the tokens decode to', (t) => {
  const tokenizer = opened(t, 'GPT-2');
  const random = noise(3);
  for (let turn = 0; turn < 200; turn++) {
    const ids = Array.from({ length: 12 }, () => Math.floor(((random() + 1) / 2) * tokenizer.vocabSize));
    assert.equal(pieces(tokenizer, [], ids).join(''), tokenizer.decode(ids));
  }
});
