import { ALPHABETS } from './alphabets.ts';

/**
 * Byte-level BPE tokenizers cut a text into words by these rules, under the names that `tokenizer.ggml.pre` uses. The
 * regular expressions are those of the tokenizers' own `tokenizer.json`, and of llama.cpp's `llama-vocab.cpp`.
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
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const SIGNS_AND_SLASHES = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*';
const LLAMA3 = `${SUFFIXES}|${LETTERS}|\\p{N}{1,3}|${SIGNS}|${SPACES}`;
const QWEN2 = `${SUFFIXES}|${LETTERS}|\\p{N}|${SIGNS}|${SPACES}`;
const TEKKEN = `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*|\\p{N}|${SIGNS_AND_SLASHES}|${SPACES}`;
const GPT4O = `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${SUFFIXES}?|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${SUFFIXES}?|\\p{N}{1,3}|${SIGNS_AND_SLASHES}|${SPACES}`;
const BAILING = `'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`;
const SEED = `${SUFFIXES}|${LETTERS}|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${SPACES}`;
/** Ends a word at a bracket, a bar, and the marks of European, Chinese and Arabic texts. */
const BLOOM = ' ?[^(\\s|.,!?…。，、।۔،)]+';
const DEEPSEEK3 =
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|' +
  SPACES;
/** Chinese and Korean, and all scripts from U+0800 up to Chinese. */
const HAN = '[一-龥\u0800-一가-\ud7ff]+';

function byteLevel(useRegex: boolean): object {
  return { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: useRegex };
}

function split(pattern: string): object {
  return { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
}

/** Every pattern cuts what the ones before it have left. */
function cutBy(...patterns: readonly string[]): PreTokenizer {
  const pretokenizers = [...patterns.map(split), byteLevel(false)];
  return {
    preTokenizer: { type: 'Sequence', pretokenizers },
    normalizer: null,
    ignoreMerges: false,
    addBos: false,
  };
}

const gpt2: PreTokenizer = { ...cutBy(), preTokenizer: byteLevel(true) };
/** Every digit is its own word; the rest is as in GPT-2. */
const digits = cutBy('\\p{N}', GPT2);
const plainLlama3 = cutBy(LLAMA3);
const llama3: PreTokenizer = { ...plainLlama3, ignoreMerges: true, addBos: true };
const plainQwen2 = cutBy(QWEN2);
const qwen2: PreTokenizer = { ...plainQwen2, normalizer: { type: 'NFC' } };
const tekken: PreTokenizer = { ...cutBy(TEKKEN), ignoreMerges: true, addBos: true };
const gpt4o = cutBy(GPT4O);
const bloom = cutBy(BLOOM);
const bailing = cutBy(BAILING);
const deepseek3 = cutBy('\\p{N}{1,3}', '[一-龥぀-ゟ゠-ヿ]+', DEEPSEEK3);

export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  'gpt-2': gpt2,
  'phi-2': gpt2,
  mpt: gpt2,
  olmo: gpt2,
  jais: gpt2,
  gigachat: gpt2,
  mellum: gpt2,
  'a.x-4.0': gpt2,
  trillion: gpt2,
  exaone4: gpt2,
  'granite-docling': gpt2,
  smollm: digits,
  starcoder: digits,
  refact: digits,
  'command-r': digits,
  codeshell: digits,
  exaone: digits,
  'minerva-7b': digits,
  'llama-bpe': llama3,
  llama3,
  'llama-v3': llama3,
  falcon3: llama3,
  'falcon-h1': llama3,
  pixtral: llama3,
  'midm-2.0': llama3,
  lfm2: llama3,
  'smaug-bpe': plainLlama3,
  dbrx: plainLlama3,
  glm4: plainLlama3,
  'chatglm-bpe': plainLlama3,
  qwen2,
  'deepseek-r1-qwen': qwen2,
  kormo: qwen2,
  megrez: qwen2,
  stablelm2: plainQwen2,
  hunyuan: plainQwen2,
  'grok-2': plainQwen2,
  tekken,
  'gpt-4o': gpt4o,
  llama4: gpt4o,
  'minimax-m2': gpt4o,
  'deepseek-llm': cutBy(
    '[\\r\\n]',
    `\\s?[${ALPHABETS}]+`,
    '\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+',
    '\\s+$',
    HAN,
    '\\p{N}+',
  ),
  'deepseek-coder': cutBy('[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', HAN, '\\p{N}'),
  'deepseek-v3': deepseek3,
  'hunyuan-dense': deepseek3,
  falcon: cutBy('[\\p{P}\\$\\+<=>\\^~\\|`]+', GPT2, '[0-9][0-9][0-9]'),
  'poro-chat': bloom,
  bloom,
  'gpt3-finnish': bloom,
  viking: cutBy(BLOOM, '\\p{N}'),
  superbpe: cutBy('\\p{N}+', '(?=(\\d{3})+(?!\\d))'),
  bailingmoe: bailing,
  bailingmoe2: bailing,
  'llada-moe': bailing,
  'seed-coder': cutBy(SEED),
};

/** llama.cpp uses this for `default` and for files that do not name their pre-tokenizer. */
export const DEFAULT_PRE_TOKENIZER: PreTokenizer = cutBy(
  '[\\p{P}\\$\\+<=>\\^~\\|]+',
  GPT2,
  '\\p{N}+',
  '[0-9][0-9][0-9]',
);
