/** Trains the demo model's tokenizer: node --import tsx scripts/demo/tokenizer.ts. Writes into examples/demo/model. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BytePairEncoding, trainBytePairs } from './bpe.ts';
import { generateTrainingText } from './corpus.ts';

export const VOCABULARY_SIZE = 1024;
const BEGIN = '<s>';
const END = '</s>';
export const SPECIAL_TOKENS = [BEGIN, END] as const;

/** Returns the contents of `tokenizer.json`, as Hugging Face's library writes a byte-level BPE. */
export function tokenizerJson({ vocabulary, merges }: BytePairEncoding) {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: { ...byteLevel, trim_offsets: false },
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(vocabulary),
      merges,
    },
  };
}

/** Returns the contents of `tokenizer_config.json`. */
export function tokenizerConfigJson(maxLength: number) {
  return {
    add_bos_token: false,
    add_eos_token: false,
    add_prefix_space: false,
    bos_token: BEGIN,
    clean_up_tokenization_spaces: false,
    eos_token: END,
    model_max_length: maxLength,
    tokenizer_class: 'PreTrainedTokenizerFast',
  };
}

function main(): void {
  const folder = join(import.meta.dirname, '..', '..', 'examples', 'demo', 'model');
  const encoding = trainBytePairs(generateTrainingText(), VOCABULARY_SIZE, SPECIAL_TOKENS);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'tokenizer.json'), `${JSON.stringify(tokenizerJson(encoding), null, 1)}\n`);
  writeFileSync(
    join(folder, 'tokenizer_config.json'),
    `${JSON.stringify(tokenizerConfigJson(512), null, 2)}\n`,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
