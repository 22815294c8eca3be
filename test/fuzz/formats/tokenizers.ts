import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openTokenizer, type Tokenizer } from '../../../src/engine/model/tokenizer.ts';
import { SIZES, TOKENIZER_CONFIG, TOKENIZERS } from '../fixtures/model.ts';
import { mutateJson } from '../mutations/json.ts';
import { expectSane, type Format, jsonBytes } from './format.ts';

/** Odd texts, and one long enough that a tokenizer of more than linear cost is noticed. */
const TEXTS = [
  '',
  'The cat and the hen.',
  ' the\u00a0hen\r\n\t in\u0085\u2028 3.14159 ',
  'naïve 日本語 👩‍👩‍👧 \ud800 \ufeff',
  '<s>the</s><unk>',
  'the hen ran on the train '.repeat(400),
  'x'.repeat(3000),
];

/** All ids of texts are rows of the embedding, and so is the length of what is decoded bounded. */
export function expectSaneTokenizer(tokenizer: Tokenizer, rows: number): void {
  // An added token that no text has may lie above the rows.
  expectSane(Number.isSafeInteger(tokenizer.vocabSize), `vocabSize ${tokenizer.vocabSize}`);
  for (const id of [tokenizer.bosId, tokenizer.eosId])
    expectSane(id === null || (Number.isInteger(id) && id >= 0 && id < rows), `special id ${id} of ${rows}`);
  for (const text of TEXTS) {
    const ids = tokenizer.encode(text);
    const bad = ids.findIndex((id) => !(id >= 0 && id < rows));
    expectSane(bad < 0, `id ${ids[bad]} of ${rows} rows for ${JSON.stringify(text.slice(0, 40))}`);
    expectSane(typeof tokenizer.decode(ids) === 'string', 'decoding gives no text');
  }
}

/** One more than the ids in our tokenizers, of which one is without rows here. */
const ROWS = SIZES.vocab + 8;

const tokenizer: Format = {
  name: 'tokenizer',
  async open({ model }) {
    const path = join(model, 'tokenizer.json');
    return {
      originals: TOKENIZERS.map(jsonBytes),
      mutate: mutateJson,
      async read(input) {
        writeFileSync(path, input);
        expectSaneTokenizer(openTokenizer(model, ROWS), ROWS);
      },
    };
  },
};

const tokenizerConfig: Format = {
  name: 'tokenizer-config',
  async open({ model }) {
    const path = join(model, 'tokenizer_config.json');
    const generation = { ...TOKENIZER_CONFIG, ...JSON.parse(readFileSync(path, 'utf8')), bos_token: null };
    return {
      originals: [TOKENIZER_CONFIG, generation].map(jsonBytes),
      mutate: mutateJson,
      async read(input) {
        writeFileSync(path, input);
        expectSaneTokenizer(openTokenizer(model, ROWS), ROWS);
      },
    };
  },
};

export const TOKENIZER_FORMATS: readonly Format[] = [tokenizer, tokenizerConfig];
