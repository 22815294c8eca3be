import { z } from 'zod';
import { UserError } from '../../../protocol/errors.ts';
import {
  type Normalizer,
  normalizer,
  type PostProcessor,
  type PreTokenizer,
  postProcessor,
  preTokenizer,
} from './components.ts';
import { type Decoder, decoder } from './decoder-schema.ts';
import { type Model, model } from './model-schema.ts';

/** A token that is found in the text before anything else. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

/** The parts of a `tokenizer.json` that decide the ids of a text, and the text of ids. */
export interface TokenizerFile {
  readonly addedTokens: readonly AddedToken[];
  readonly normalizer: Normalizer | null;
  readonly preTokenizer: PreTokenizer | null;
  readonly model: Model;
  readonly decoder: Decoder | null;
  readonly postProcessor: PostProcessor | null;
}

const addedToken = z
  .strictObject({
    id: z.int().min(0).max(0xffffffff),
    content: z.string(),
    single_word: z.boolean().default(false),
    lstrip: z.boolean().default(false),
    rstrip: z.boolean().default(false),
    normalized: z.boolean().optional(),
    special: z.boolean().default(false),
  })
  .transform((token): AddedToken => ({ ...token, normalized: token.normalized ?? !token.special }));

/** Truncation and padding are for batches; a text is always encoded whole. */
const schema = z.strictObject({
  version: z.literal('1.0').optional(),
  truncation: z.unknown().optional(),
  padding: z.unknown().optional(),
  added_tokens: z.array(addedToken).nullish(),
  normalizer: normalizer.nullish(),
  pre_tokenizer: preTokenizer.nullish(),
  post_processor: postProcessor.nullish(),
  decoder: decoder.nullish(),
  model,
});

/** Components hold each other; real files go five levels deep. */
const MAX_DEPTH = 64;

/**
 * Checks the contents of a `tokenizer.json`.
 * @param path names the file in messages.
 * @throws UserError `tokenizer/unsupported`
 */
export function parseTokenizerFile(path: string, json: unknown): TokenizerFile {
  if (isDeeper(json, MAX_DEPTH)) throw unsupported(path, `is nested more than ${MAX_DEPTH} levels deep`);
  const { data, error } = schema.safeParse(json);
  if (error) throw unsupported(path, describe(error));
  return {
    addedTokens: data.added_tokens ?? [],
    normalizer: data.normalizer ?? null,
    preTokenizer: data.pre_tokenizer ?? null,
    model: data.model,
    decoder: data.decoder ?? null,
    postProcessor: data.post_processor ?? null,
  };
}

export function unsupported(path: string, problem: string): UserError {
  return new UserError(
    'tokenizer/unsupported',
    `${path} describes a tokenizer that cannot be built: ${problem}.`,
    'Use the file that came with the model, or save it again with a current version of transformers.',
  );
}

/** Tells the first fault with its place. */
function describe(error: z.ZodError): string {
  const [issue] = error.issues;
  if (!issue) return error.message;
  const place = issue.path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  // A fault of a union's discriminator stands at `type`; the message speaks of the object.
  const owner = issue.code === 'invalid_union' ? place.replace(/\.type$/, '') : place;
  const message = issue.message.replace(/^Invalid input: /, '');
  return owner === '' ? message : `${owner.slice(1)}: ${message}`;
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1));
}
