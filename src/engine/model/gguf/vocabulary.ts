import { UserError } from '../../../protocol/errors.ts';
import type { SpecialToken } from '../tokenizer-json.ts';
import type { GgufFields } from './fields.ts';

/** `tokenizer.ggml.token_type` has llama.cpp's numbers, in this order. */
const KINDS = ['undefined', 'normal', 'unknown', 'control', 'literal', 'unused', 'byte'] as const;
export type TokenKind = (typeof KINDS)[number];

/** Both kinds of tokenizers have these. */
export interface GgufVocabulary {
  readonly path: string;
  readonly texts: readonly string[];
  readonly kinds: readonly TokenKind[];
  readonly bos: SpecialToken | null;
  readonly eos: SpecialToken | null;
  /** The token that ends a turn of a conversation, when it differs from `eos`. */
  readonly eot: SpecialToken | null;
  readonly unknown: SpecialToken | null;
  readonly padding: SpecialToken | null;
  /** True where BOS goes before (EOS behind) every text; undefined when the file has no such key. */
  readonly addBos: boolean | undefined;
  readonly addEos: boolean | undefined;
  readonly chatTemplate: string | undefined;
}

const KEY = 'tokenizer.ggml';

/**
 * Reads the vocabulary and the special tokens.
 * @param rows number of rows of the embedding; ids must stay below it.
 * @throws UserError `gguf/tokenizer`, `gguf/metadata`
 */
export function readVocabulary(fields: GgufFields, rows: number): GgufVocabulary {
  const { path } = fields;
  const found = fields.texts(`${KEY}.tokens`);
  if (!found) throw tokenizerFault(path, 'the file holds no tokenizer (tokenizer.ggml.tokens is missing)');
  if (found.length > rows)
    throw tokenizerFault(path, `the vocabulary has ${found.length} tokens but the embedding ${rows} rows`);
  const types = fields.numbers(`${KEY}.token_type`) ?? found.map(() => 1);
  if (types.length !== found.length)
    throw tokenizerFault(path, `there are ${found.length} tokens but ${types.length} token types`);
  // The parser drops a leading byte order mark; no piece is empty, so an empty one was the mark alone.
  const texts = found.map((text) => (text === '' ? '\uFEFF' : text));
  rejectDuplicates(path, texts);
  const special = (name: string): SpecialToken | null => {
    const id = fields.whole(`${KEY}.${name}_token_id`);
    // An id of all ones stands for "none".
    return id === undefined || texts[id] === undefined ? null : { id, content: texts[id] };
  };
  const eos = special('eos');
  const eot = special('eot');
  return {
    path,
    texts,
    kinds: types.map((type) => KINDS[type] ?? 'undefined'),
    bos: special('bos'),
    eos,
    eot: eot?.id === eos?.id ? null : eot,
    unknown: special('unknown'),
    padding: special('padding'),
    addBos: fields.flag(`${KEY}.add_bos_token`),
    addEos: fields.flag(`${KEY}.add_eos_token`),
    chatTemplate: fields.text('tokenizer.chat_template'),
  };
}

function rejectDuplicates(path: string, texts: readonly string[]): void {
  const seen = new Map<string, number>();
  for (const [id, text] of texts.entries()) {
    const other = seen.get(text);
    if (other !== undefined)
      throw tokenizerFault(path, `tokens ${other} and ${id} are both ${JSON.stringify(text)}`);
    seen.set(text, id);
  }
}

const RECONVERT =
  'Convert the model again with a current version of llama.cpp, or use its Hugging Face folder.';

export function tokenizerFault(path: string, problem: string, hint = RECONVERT): UserError {
  return new UserError('gguf/tokenizer', `${path}: ${problem}.`, hint);
}
