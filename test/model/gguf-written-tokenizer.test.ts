/** Tokenizers of model folders as GGUF files have them, and read back from these. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { preTokenizerName } from '../../src/engine/model/gguf/pre-tokenizer-name.ts';
import { PRE_TOKENIZERS, type PreTokenizer } from '../../src/engine/model/gguf/pre-tokenizers.ts';
import { ggufTokenizer } from '../../src/engine/model/gguf/write-tokenizer.ts';
import { buildSentencePieceJson } from '../../src/engine/model/sentencepiece-json.ts';
import { parseTokenizerFile } from '../../src/engine/model/tokenizer/file.ts';
import { buildNormalizer } from '../../src/engine/model/tokenizer/normalizers.ts';
import { buildPreTokenizer } from '../../src/engine/model/tokenizer/pre-tokenizers.ts';
import { openTokenizer } from '../../src/engine/model/tokenizer.ts';
import { rejectsWith, temporaryFolder } from '../formats/support.ts';
import { built } from './gguf-tokenizers.ts';
import { numbers } from './gguf-writer.ts';

const bpe = (more: object = {}): object => ({ type: 'BPE', vocab: { a: 0 }, merges: [], ...more });

/** Characters of which rules differ in some way. */
const CHARACTERS = [...'aZéßя你カ가अ٣7²Ⅷ \n\r\t\'.,!?-_/#@$~`<"“…。，।🙂', "'s", "'LL", 'e\u0301', '  '];

test('a rule that cuts texts is found under a name that cuts all texts alike', () => {
  const next = numbers(3);
  const texts = Array.from({ length: 100 }, () =>
    Array.from({ length: 2 + next(12) }, () => CHARACTERS[next(CHARACTERS.length)]).join(''),
  );
  const rules = new Map(Object.entries(PRE_TOKENIZERS).map(([name, rule]) => [rule, name]));
  const cuts = new Map([...rules.keys()].map((rule) => [rule, texts.map(cutterOf(rule))]));
  for (const [rule, name] of rules) {
    const { normalizer, preTokenizer } = rule;
    const file = parseTokenizerFile('tokenizer.json', {
      normalizer,
      pre_tokenizer: preTokenizer,
      model: bpe(),
    });
    const found = preTokenizerName(file, rule.ignoreMerges);
    assert.ok(found !== null, name);
    const other = PRE_TOKENIZERS[found]!;
    assert.equal(other.ignoreMerges, rule.ignoreMerges);
    assert.deepEqual(cuts.get(other), cuts.get(rule), `${found} ${name}`);
  }
  assert.deepEqual(
    ['gpt-2', 'smollm', 'llama-bpe', 'qwen2', 'tekken', 'gpt-4o'].map((name) => {
      const { normalizer, preTokenizer, ignoreMerges } = PRE_TOKENIZERS[name]!;
      const parts = { normalizer, pre_tokenizer: preTokenizer, model: bpe() };
      return preTokenizerName(parseTokenizerFile('tokenizer.json', parts), ignoreMerges);
    }),
    ['gpt-2', 'smollm', 'llama-bpe', 'qwen2', 'tekken', 'gpt-4o'],
  );
});

function cutterOf({ normalizer, preTokenizer }: Pick<PreTokenizer, 'normalizer' | 'preTokenizer'>) {
  const file = parseTokenizerFile('tokenizer.json', {
    normalizer,
    pre_tokenizer: preTokenizer,
    model: bpe(),
  });
  const [normalize, cut] = [buildNormalizer(file.normalizer), buildPreTokenizer(file.preTokenizer)];
  return (text: string): string[] => cut([{ text: normalize(text), first: true }]).map((piece) => piece.text);
}

test('another way to write a rule is the same rule, and an unknown one is none', () => {
  const digits = { type: 'Digits', individual_digits: true };
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const named = (...pretokenizers: object[]): string | null => {
    const pre_tokenizer = { type: 'Sequence', pretokenizers };
    return preTokenizerName(parseTokenizerFile('tokenizer.json', { pre_tokenizer, model: bpe() }), false);
  };
  assert.equal(named(digits, bytes), 'smollm');
  assert.equal(named({ type: 'FixedLength', length: 3 }, bytes), null);
});

const BYTES = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
const WORDS = ['▁', 't', 'h', 'e', 'th', '▁t', 'the', '▁the', '▁th', 'c', 'a', '▁c', 'at', '▁cat', 'ca'];

function folderOf(t: TestContext, json: object, config: object): string {
  const dir = temporaryFolder(t);
  writeFileSync(join(dir, 'tokenizer.json'), JSON.stringify(json));
  writeFileSync(join(dir, 'tokenizer_config.json'), JSON.stringify(config));
  return dir;
}

for (const spacePrefix of [true, false])
  test(`SentencePiece ${spacePrefix ? 'with' : 'without'} a space before the text`, async (t) => {
    const special = ['<unk>', '<s>', '</s>'].map((text) => ({ text, score: 0, kind: 'special' as const }));
    const pieces = [
      ...special,
      ...BYTES.map((text) => ({ text, score: 0, kind: 'byte' as const })),
      ...WORDS.map((text, i) => ({ text, score: -i, kind: 'normal' as const })),
    ];
    const json = buildSentencePieceJson({ pieces, unknownId: 0, spacePrefix, bosId: 1, eosId: null });
    const config = {
      bos_token: '<s>',
      eos_token: '</s>',
      unk_token: '<unk>',
      chat_template: '{{ messages }}',
    };
    const dir = folderOf(t, json, config);
    const own = openTokenizer(dir);
    const rows = pieces.length + 2;
    const metadata = ggufTokenizer({ dir, rows, tokenizer: own, ends: [2, 5] });
    const { json: read, vocabulary, addBos } = await built(t, metadata as Parameters<typeof built>[1], rows);
    const back = openTokenizer(folderOf(t, read, config));
    for (const text of ['the cat', ' the  cat\n', 'that tea: é 🙂', 'cat the'])
      assert.deepEqual(back.encode(text), own.encode(text), text);
    assert.deepEqual(
      [addBos, vocabulary.eos?.id, vocabulary.eot?.id, vocabulary.unknown?.id],
      [true, 2, 5, 0],
    );
    assert.equal(vocabulary.chatTemplate, '{{ messages }}');
    assert.deepEqual(vocabulary.texts.slice(-2), [`[PAD${rows - 2}]`, `[PAD${rows - 1}]`]);
    assert.deepEqual(vocabulary.kinds.slice(-2), ['unused', 'unused']);
    assert.deepEqual(vocabulary.kinds.slice(0, 4), ['unknown', 'control', 'control', 'byte']);
  });

test('a tokenizer that llama.cpp has no form for is refused', async (t) => {
  const dir = folderOf(t, { model: { type: 'WordLevel', vocab: { a: 0 }, unk_token: 'a' } }, {});
  const tokenizer = { bosId: null, eosId: null, addsBos: false };
  await rejectsWith(
    async () => ggufTokenizer({ dir, rows: 1, tokenizer, ends: [] }),
    'export/tokenizer',
    /its model is WordLevel; llama\.cpp has byte-level and SentencePiece BPE/,
  );
});
