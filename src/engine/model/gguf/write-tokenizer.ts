/** The tokenizer of a model folder as a GGUF file has it: the reverse of `tokenizer.ts`. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonFile } from '../../../disk/json.ts';
import type { GgufValue } from '../../../formats/gguf-write.ts';
import { UserError } from '../../../protocol/errors.ts';
import { isObject } from '../../../protocol/object.ts';
import { chatTemplateOf } from '../chat-template.ts';
import { parseTokenizerFile, type TokenizerFile } from '../tokenizer/file.ts';
import type { BpeModel } from '../tokenizer/model-schema.ts';
import { numberTokens } from '../tokenizer/vocabulary.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { preTokenizerName } from './pre-tokenizer-name.ts';

/** llama.cpp's numbers of kinds of tokens. */
const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const LITERAL = 4;
const UNUSED = 5;
const BYTE = 6;
const BYTE_PIECE = /^<0x[0-9A-F]{2}>$/;

/** What is known of a tokenizer apart from its file. */
export interface KnownTokens {
  readonly dir: string;
  /** Rows of the embedding. */
  readonly rows: number;
  readonly tokenizer: Pick<Tokenizer, 'bosId' | 'eosId' | 'addsBos'>;
  /** Tokens that end a text. */
  readonly ends: readonly number[];
}

/**
 * Key-value pairs of `tokenizer.ggml` and the chat template.
 * @throws UserError `export/tokenizer` for one that llama.cpp has no form for.
 */
export function ggufTokenizer(known: KnownTokens): Record<string, GgufValue> {
  const path = join(known.dir, 'tokenizer.json');
  const file = parseTokenizerFile(path, readJsonFile(path));
  const { model } = file;
  if (model.type !== 'BPE' || model.prefix !== '' || model.suffix !== '')
    throw tokenizerFault(path, `its model is ${model.type}; llama.cpp has byte-level and SentencePiece BPE`);
  const own = model.byteFallback
    ? sentencePiece(path, file, model, known.rows)
    : byteLevel(path, file, model);
  const { texts, kinds } = tokensOf(file, model, known.rows);
  const template = chatTemplateOf(known.dir);
  return {
    ...own,
    'tokenizer.ggml.tokens': ['text', texts],
    'tokenizer.ggml.token_type': ['i32', kinds],
    ...specialTokens(known, file),
    ...(template !== null && { 'tokenizer.chat_template': ['text', template] as const }),
  };
}

/** Texts and kinds of all rows of the embedding: llama.cpp names those that have no token. */
function tokensOf(file: TokenizerFile, model: BpeModel, rows: number) {
  const { added, textOf } = numberTokens(file);
  const texts = Array.from({ length: rows }, (_, id) => textOf(id) ?? `[PAD${id}]`);
  const kinds = texts.map((text, id): number => {
    if (textOf(id) === undefined) return UNUSED;
    return model.byteFallback && BYTE_PIECE.test(text) ? BYTE : NORMAL;
  });
  for (const { id, special } of added) if (id < rows) kinds[id] = special ? CONTROL : LITERAL;
  const unknown = model.unknown === null ? undefined : model.vocab.get(model.unknown);
  if (unknown !== undefined && unknown < rows) kinds[unknown] = UNKNOWN;
  return { texts, kinds };
}

function byteLevel(
  path: string,
  file: TokenizerFile,
  { merges, ignoreMerges }: BpeModel,
): Record<string, GgufValue> {
  const name = preTokenizerName(file, ignoreMerges);
  if (name === null)
    throw tokenizerFault(path, 'llama.cpp has no rule that cuts texts into words as its pre_tokenizer does');
  return {
    'tokenizer.ggml.model': ['text', 'gpt2'],
    'tokenizer.ggml.pre': ['text', name],
    'tokenizer.ggml.merges': ['text', merges.map(([left, right]) => `${left} ${right}`)],
  };
}

/** Pieces that merge first have the highest score. */
function sentencePiece(
  path: string,
  file: TokenizerFile,
  { vocab, merges }: BpeModel,
  rows: number,
): Record<string, GgufValue> {
  const steps = JSON.stringify(file.normalizer ?? null);
  const isPlain = file.preTokenizer === null || file.preTokenizer.type === 'Metaspace';
  if (!isPlain)
    throw tokenizerFault(path, `it cuts texts by ${file.preTokenizer?.type} before SentencePiece merges`);
  const scores = new Array<number>(rows).fill(-merges.length - 1);
  for (const [rank, [left, right]] of [...merges.entries()].reverse()) {
    const id = vocab.get(left + right);
    if (id !== undefined && id < rows) scores[id] = -rank;
  }
  const hasPrefix = steps.includes('"Prepend"') || prefixesBySpace(file);
  return {
    'tokenizer.ggml.model': ['text', 'llama'],
    'tokenizer.ggml.pre': ['text', 'default'],
    'tokenizer.ggml.scores': ['f32', scores],
    'tokenizer.ggml.add_space_prefix': ['flag', hasPrefix],
  };
}

function prefixesBySpace({ preTokenizer }: TokenizerFile): boolean {
  if (preTokenizer?.type !== 'Metaspace') return false;
  return preTokenizer.prepend_scheme !== undefined
    ? preTokenizer.prepend_scheme !== 'never'
    : preTokenizer.add_prefix_space !== false;
}

function specialTokens(
  { dir, tokenizer, ends }: KnownTokens,
  file: TokenizerFile,
): Record<string, GgufValue> {
  const { idOf } = numberTokens(file);
  const config = readConfig(dir);
  const named = (key: string): number | undefined => {
    const value = config[key];
    const text = isObject(value) ? value.content : value;
    return typeof text === 'string' ? idOf(text) : undefined;
  };
  const eos = tokenizer.eosId ?? ends[0];
  const ids = {
    bos: tokenizer.bosId ?? undefined,
    eos,
    eot: ends.find((id) => id !== eos),
    unknown: named('unk_token'),
    padding: named('pad_token'),
  };
  const found = Object.entries(ids).filter((entry): entry is [string, number] => entry[1] !== undefined);
  return {
    ...Object.fromEntries(
      found.map(([name, id]) => [`tokenizer.ggml.${name}_token_id`, ['u32', id] as const]),
    ),
    'tokenizer.ggml.add_bos_token': ['flag', tokenizer.addsBos],
    'tokenizer.ggml.add_eos_token': ['flag', false],
  };
}

function readConfig(dir: string): Readonly<Record<string, unknown>> {
  const path = join(dir, 'tokenizer_config.json');
  const found = existsSync(path) ? readJsonFile(path) : {};
  return isObject(found) ? found : {};
}

function tokenizerFault(path: string, problem: string): UserError {
  return new UserError(
    'export/tokenizer',
    `${path} has no form in GGUF: ${problem}.`,
    'Choose --format huggingface, and convert that folder with llama.cpp, which knows some tokenizers by their tokens.',
  );
}
