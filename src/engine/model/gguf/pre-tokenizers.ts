/**
 * Byte-level BPE tokenizers cut a text into words by these rules, under the names that `tokenizer.ggml.pre` uses. The
 * regular expressions are those of the tokenizers' own `tokenizer.json`.
 */

export interface PreTokenizer {
  readonly preTokenizer: object;
  /** Unicode normalization comes before anything else. */
  readonly normalizer: object | null;
  /** True where a word in the vocabulary is one token, whatever the merges are. */
  readonly ignoreMerges: boolean;
  /** True where BOS goes before every text when the file has no such key. */
  readonly addBos: boolean;
}

const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const SUFFIXES = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const SPACES = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const LETTERS = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';
const SIGNS = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*';
const LLAMA3 = `${SUFFIXES}|${LETTERS}|\\p{N}{1,3}|${SIGNS}|${SPACES}`;
const QWEN2 = `${SUFFIXES}|${LETTERS}|\\p{N}|${SIGNS}|${SPACES}`;
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const TEKKEN = `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`;

function byteLevel(useRegex: boolean): object {
  return { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: useRegex };
}

function sequence(...pretokenizers: readonly object[]): object {
  return { type: 'Sequence', pretokenizers };
}

function split(pattern: string): object {
  return { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
}

const PLAIN = { normalizer: null, ignoreMerges: false, addBos: false } as const;

const gpt2: PreTokenizer = { ...PLAIN, preTokenizer: byteLevel(true) };
/** Every digit is its own word; the rest is as in GPT-2. */
const digits: PreTokenizer = {
  ...PLAIN,
  preTokenizer: sequence(split('\\p{N}'), byteLevel(true)),
};
const llama3: PreTokenizer = {
  normalizer: null,
  preTokenizer: sequence(split(LLAMA3), byteLevel(false)),
  ignoreMerges: true,
  addBos: true,
};
const qwen2: PreTokenizer = {
  ...PLAIN,
  normalizer: { type: 'NFC' },
  preTokenizer: sequence(split(QWEN2), byteLevel(false)),
};
const tekken: PreTokenizer = {
  normalizer: null,
  preTokenizer: sequence(split(TEKKEN), byteLevel(false)),
  ignoreMerges: true,
  addBos: true,
};

export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  'gpt-2': gpt2,
  'phi-2': gpt2,
  smollm: digits,
  starcoder: digits,
  refact: digits,
  'command-r': digits,
  codeshell: digits,
  exaone: digits,
  'llama-bpe': llama3,
  llama3,
  'llama-v3': llama3,
  falcon3: llama3,
  qwen2,
  'deepseek-r1-qwen': qwen2,
  tekken,
};

/** llama.cpp uses this for `default` and for files that do not name their pre-tokenizer. */
export const DEFAULT_PRE_TOKENIZER: PreTokenizer = {
  ...PLAIN,
  preTokenizer: sequence(
    split('[\\p{P}\\$\\+<=>\\^~\\|]+'),
    split(GPT2),
    split('\\p{N}+'),
    split('[0-9][0-9][0-9]'),
    byteLevel(false),
  ),
};
