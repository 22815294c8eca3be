import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { readJsonFile } from '../../disk/json.ts';
import { messageOf, UserError } from '../../protocol/errors.ts';
import { withNumbers, withWords } from './tokenizer-words.ts';

export interface Tokenizer {
  /**
   * Returns the token ids of a text. Special tokens written out in the text (`</s>`) become their ids. The only token
   * that is added is the beginning-of-sequence token, when `bos` is set.
   * @throws UserError `tokenizer/no-bos` when `bos` is set and the tokenizer has none.
   */
  encode(text: string, options?: { readonly bos?: boolean }): Int32Array;
  /** Returns the text of token ids without special tokens. */
  decode(ids: ArrayLike<number>): string;
  /** One more than the largest id. */
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
}

/**
 * Opens `tokenizer.json` (and `tokenizer_config.json`) of a Hugging Face folder.
 * @param modelVocabSize rows of the embedding: ids must stay below.
 * @throws UserError `tokenizer/…`
 */
export function openTokenizer(dir: string, modelVocabSize?: number): Tokenizer {
  const path = join(dir, 'tokenizer.json');
  if (!existsSync(path)) throw missingTokenizer(dir);
  const config = existsSync(join(dir, 'tokenizer_config.json'))
    ? readJson(join(dir, 'tokenizer_config.json'))
    : {};
  const tokenizer = build(path, readJson(path), config);
  const largest = largestId(tokenizer);
  if (modelVocabSize !== undefined && largest >= modelVocabSize) {
    throw new UserError(
      'tokenizer/vocabulary',
      `${path} has token ids up to ${largest} ("${tokenizer.id_to_token(largest)}") but the model's embedding has ${modelVocabSize} rows.`,
      'Tokenizer and model do not belong together: use the tokenizer that came with the model.',
    );
  }
  const bosId = specialId(tokenizer, dir, config, 'bos_token');
  return {
    vocabSize: largest + 1,
    bosId,
    eosId: specialId(tokenizer, dir, config, 'eos_token'),
    encode: (text, options) => encode(tokenizer, path, text, options?.bos ? bosId : undefined),
    decode: (ids) =>
      ids.length === 0
        ? ''
        : tokenizer.decode(Array.from(ids), {
            skip_special_tokens: true,
            clean_up_tokenization_spaces: false,
          }),
  };
}

type JsonObject = Readonly<Record<string, unknown>>;

function missingTokenizer(dir: string): UserError {
  const sentencePiece = existsSync(join(dir, 'tokenizer.model'));
  return new UserError(
    'tokenizer/missing',
    `${dir} has no tokenizer.json${sentencePiece ? ' (only tokenizer.model, which is not read)' : ''}.`,
    'Make it with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder).',
  );
}

function readJson(path: string): JsonObject {
  const value = readJsonFile(path, { code: 'tokenizer/json' });
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new UserError('tokenizer/json', `${path} is not a JSON object.`, 'Download it again.');
}

function build(path: string, json: JsonObject, config: JsonObject): HuggingFaceTokenizer {
  try {
    // The library requires the key; files without added tokens may leave it out.
    return new HuggingFaceTokenizer(
      { ...withWords(withNumbers(json)), added_tokens: json.added_tokens ?? [] },
      config,
    );
  } catch (error) {
    throw new UserError(
      'tokenizer/unsupported',
      `${path} describes a tokenizer that cannot be built: ${messageOf(error)}.`,
      'Save it again with a current version of the transformers library.',
    );
  }
}

function largestId(tokenizer: HuggingFaceTokenizer): number {
  let largest = -1;
  for (const id of tokenizer.get_vocab().values()) largest = Math.max(largest, id);
  return largest;
}

/** Returns the id of BOS or EOS: named by tokenizer_config.json, else numbered by config.json; null if by neither. */
function specialId(
  tokenizer: HuggingFaceTokenizer,
  dir: string,
  config: JsonObject,
  key: 'bos_token' | 'eos_token',
): number | null {
  const token = config[key];
  if (token === null) return null;
  const content = typeof token === 'object' && token !== null && 'content' in token ? token.content : token;
  if (typeof content === 'string') return tokenizer.token_to_id(content) ?? null;
  const modelConfig = join(dir, 'config.json');
  const id = existsSync(modelConfig) ? readJson(modelConfig)[`${key}_id`] : undefined;
  const first: unknown = Array.isArray(id) ? id[0] : id;
  return typeof first === 'number' ? first : null;
}

function encode(
  tokenizer: HuggingFaceTokenizer,
  path: string,
  text: string,
  bosId: number | null | undefined,
): Int32Array {
  if (bosId === null) {
    throw new UserError(
      'tokenizer/no-bos',
      `${path} has no beginning-of-sequence token.`,
      'Encode without BOS.',
    );
  }
  const { ids } = tokenizer.encode(text, { add_special_tokens: false });
  return Int32Array.from(bosId === undefined ? ids : [bosId, ...ids]);
}
