import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseJson, readJsonFile, readJsonText } from '../../disk/json.ts';
import { UserError } from '../../protocol/errors.ts';
import { isObject } from '../../protocol/object.ts';
import { tokenBefore } from './tokenizer/added-before.ts';
import { buildDecode } from './tokenizer/decode.ts';
import { buildEncode } from './tokenizer/encoder.ts';
import { parseTokenizerFile, type TokenizerFile } from './tokenizer/file.ts';
import { parseWithLongParts } from './tokenizer/long-parts.ts';
import { parseTokenizerConfig, type TokenizerConfig } from './tokenizer/tokenizer-config.ts';
import { UnknownCharacter } from './tokenizer/unigram.ts';
import { type NumberedTokens, numberTokens } from './tokenizer/vocabulary.ts';

export interface EncodeOptions {
  /** Puts the beginning-of-sequence token in front. */
  readonly bos?: boolean;
  /** Names the text in messages: its path. */
  readonly source?: string;
}

export interface Tokenizer {
  /**
   * Returns the token ids of a text. Special tokens written out in the text (`</s>`) become their ids. The only token
   * that is added is the beginning-of-sequence token, when `bos` is set.
   * @throws UserError `tokenizer/no-bos` when `bos` is set and the tokenizer has none; `tokenizer/no-row` when a token
   * of the text has no row in the embedding, or not one that is certain.
   */
  encode(text: string, options?: EncodeOptions): Int32Array;
  /** Returns the text of token ids without special tokens. */
  decode(ids: ArrayLike<number>): string;
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** @throws UserError `tokenizer/no-row` as `encode` does. */
  readonly bosId: number | null;
  readonly eosId: number | null;
  /** True where a prompt begins with BOS, as the files of the tokenizer say. */
  readonly addsBos: boolean;
  /** The token of what the vocabulary lacks; null where there is none. */
  readonly unknownId: number | null;
}

/**
 * Opens `tokenizer.json` (and `tokenizer_config.json`) of a Hugging Face folder.
 * @param modelVocabSize rows of the embedding. Ids of the model's own vocabulary must stay below; an added token may
 * lie above as long as no text has it.
 * @throws UserError `tokenizer/…`
 */
export function openTokenizer(dir: string, modelVocabSize = Number.POSITIVE_INFINITY): Tokenizer {
  const path = join(dir, 'tokenizer.json');
  if (!existsSync(path)) throw missingTokenizer(dir);
  const configPath = join(dir, 'tokenizer_config.json');
  const config = parseTokenizerConfig(configPath, existsSync(configPath) ? readJson(configPath) : {});
  const file = withAddedTokens(parseTokenizerFile(path, readTokenizerJson(path)), config);
  const tokens = numberTokens(file);
  checkVocabulary(path, tokens, modelVocabSize);
  const pieces = buildEncode(path, file, tokens.added);
  const check = (id: number, source = 'The text'): number => {
    if (id >= modelVocabSize || tokens.disputed.has(id))
      throw noRow(path, tokens, id, modelVocabSize, source);
    return id;
  };
  const bosId = specialId(tokens, dir, config.bos, 'bos_token_id');
  const encode = (text: string, options: EncodeOptions): Int32Array => {
    const ids: number[] = [];
    if (options.bos) ids.push(check(bosId ?? refuseBos(path), 'The beginning of a sequence'));
    for (const piece of pieces(text)) for (const id of piece) ids.push(check(id, options.source));
    return Int32Array.from(ids);
  };
  return {
    vocabSize: tokens.largest + 1,
    get bosId() {
      return bosId === null ? null : check(bosId, 'The beginning of a sequence');
    },
    eosId: specialId(tokens, dir, config.eos, 'eos_token_id'),
    addsBos: bosId !== null && (config.addsBos ?? tokenBefore(file.postProcessor)),
    unknownId: unknownId(file.model, tokens),
    encode: (text, options = {}) => explained(path, options, () => encode(text, options)),
    decode: buildDecode(path, file, tokens),
  };
}

function missingTokenizer(dir: string): UserError {
  const sentencePiece = existsSync(join(dir, 'tokenizer.model'));
  return new UserError(
    'tokenizer/missing',
    `${dir} has no tokenizer.json${sentencePiece ? ' (only tokenizer.model, which is not read)' : ''}.`,
    'Make it with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder).',
  );
}

type JsonObject = Readonly<Record<string, unknown>>;

/** The contents of a `tokenizer.json`, whose long parts are read from its text where they are written as in most files. */
function readTokenizerJson(path: string): unknown {
  const text = readJsonText(path);
  return parseWithLongParts(text) ?? objectOf(path, parseJson(text, path, { code: 'tokenizer/json' }));
}

const readJson = (path: string): JsonObject => objectOf(path, readJsonFile(path, { code: 'tokenizer/json' }));

function objectOf(path: string, value: unknown): JsonObject {
  if (isObject(value)) return value;
  throw new UserError('tokenizer/json', `${path} is not a JSON object.`, 'Download it again.');
}

/** As transformers does: tokens that only tokenizer_config.json lists are added behind the others. */
function withAddedTokens(file: TokenizerFile, { added }: TokenizerConfig): TokenizerFile {
  const known = new Set(file.addedTokens.map(({ content }) => content));
  return {
    ...file,
    addedTokens: [...file.addedTokens, ...added.filter(({ content }) => !known.has(content))],
  };
}

function checkVocabulary(path: string, { largestOrdinary, textOf }: NumberedTokens, rows: number): void {
  if (largestOrdinary < rows) return;
  throw new UserError(
    'tokenizer/vocabulary',
    `${path} has token ids up to ${largestOrdinary} (${JSON.stringify(textOf(largestOrdinary))}) but the model's embedding has ${rows} rows.`,
    'Tokenizer and model do not belong together: use the tokenizer that came with the model.',
  );
}

function noRow(path: string, tokens: NumberedTokens, id: number, rows: number, source: string): UserError {
  const token = tokens.disputed.get(id);
  const text = JSON.stringify(token?.content ?? tokens.textOf(id) ?? '');
  const problem =
    id >= rows
      ? `the model's embedding has ${rows} rows (ids 0 to ${rows - 1})`
      : `${path} gives it the id ${token?.id}, which does not follow from its vocabulary`;
  return new UserError(
    'tokenizer/no-row',
    `${source} has the token ${text} (id ${id}), but ${problem}.`,
    `Take ${text} out of the text, or use the tokenizer that came with the model.`,
  );
}

function refuseBos(path: string): never {
  throw new UserError(
    'tokenizer/no-bos',
    `${path} has no beginning-of-sequence token.`,
    'Encode without BOS.',
  );
}

/** Turns what a text lacks into a message that names it. */
function explained<T>(path: string, { source = 'The text' }: EncodeOptions, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof UnknownCharacter)) throw error;
    throw new UserError(
      'tokenizer/unknown-character',
      `${source} has ${JSON.stringify(error.text.slice(0, 20))}, for which ${path} has no token (model.unk_id is null).`,
      'Use a text without it, or the tokenizer that came with the model.',
    );
  }
}

function unknownId(model: TokenizerFile['model'], { idOf }: NumberedTokens): number | null {
  if (model.type === 'Unigram') return model.unknownId;
  return model.unknown === null ? null : (idOf(model.unknown) ?? null);
}

/** Returns the id of BOS or EOS: named by tokenizer_config.json, else numbered by config.json; null if by neither. */
function specialId(
  { idOf }: NumberedTokens,
  dir: string,
  text: string | null | undefined,
  key: 'bos_token_id' | 'eos_token_id',
): number | null {
  if (text !== undefined) return text === null ? null : (idOf(text) ?? null);
  const modelConfig = join(dir, 'config.json');
  const id = existsSync(modelConfig) ? readJson(modelConfig)[key] : undefined;
  const first: unknown = Array.isArray(id) ? id[0] : id;
  return typeof first === 'number' && Number.isInteger(first) && first >= 0 ? first : null;
}
