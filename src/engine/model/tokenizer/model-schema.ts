import { z } from 'zod';
import { isObject } from '../../../protocol/object.ts';
import { type Merge, ReadMerges } from './long-parts.ts';

/** Ids by text. */
export type Vocabulary = ReadonlyMap<string, number>;

export interface BpeModel {
  readonly type: 'BPE';
  readonly vocab: Vocabulary;
  readonly merges: readonly Merge[];
  readonly unknown: string | null;
  readonly prefix: string;
  readonly suffix: string;
  readonly fuseUnknown: boolean;
  readonly byteFallback: boolean;
  readonly ignoreMerges: boolean;
}

export interface UnigramModel {
  readonly type: 'Unigram';
  /** The index is the id. A score is the logarithm of a probability. */
  readonly pieces: readonly (readonly [text: string, score: number])[];
  readonly unknownId: number | null;
  readonly byteFallback: boolean;
}

export interface WordModel {
  readonly type: 'WordLevel' | 'WordPiece';
  readonly vocab: Vocabulary;
  readonly unknown: string;
  /** Stands before every piece but the first of a word. */
  readonly prefix: string;
  /** Longer words are unknown; in characters. */
  readonly maxCharacters: number;
}

export type Model = BpeModel | UnigramModel | WordModel;

const MAX_ID = 0xffffffff;

/** Zod's own record would drop a token called `__proto__`. */
const vocab = z
  .custom<object>(isObject, { error: 'must be an object of ids by text' })
  .transform((found, ctx): Map<string, number> => {
    if (isReadVocabulary(found)) return found;
    const ids = new Map<string, number>();
    for (const [text, id] of Object.entries(found)) {
      if (Number.isInteger(id) && id >= 0 && id <= MAX_ID) ids.set(text, id);
      else {
        const message = `the id of ${JSON.stringify(text)} is ${JSON.stringify(id)}; an id is a whole number from 0 to ${MAX_ID}`;
        ctx.addIssue({ code: 'custom', message });
        return z.NEVER;
      }
    }
    return ids;
  });

/** JSON has no Map: `long-parts.ts` made it, of texts and ids. */
const isReadVocabulary = (found: object): found is Map<string, number> => found instanceof Map;

const isList = (found: unknown): boolean => Array.isArray(found) || found instanceof ReadMerges;

const merges = z
  .custom<readonly unknown[] | ReadMerges>(isList, { error: 'expected array' })
  .transform((found, ctx) => {
    if (found instanceof ReadMerges) return found.pairs;
    const rules: Merge[] = [];
    for (const [index, merge] of found.entries()) {
      // Files that were made from a merges.txt keep its first line.
      if (typeof merge === 'string' && merge.startsWith('#version')) continue;
      const parts: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
      if (isPair(parts)) rules.push(parts);
      else {
        const message = `merge ${index} is ${JSON.stringify(merge)?.slice(0, 80)}; a merge is "left right" or ["left", "right"]`;
        ctx.addIssue({ code: 'custom', message });
        return z.NEVER;
      }
    }
    return rules;
  });

const bpe = z
  .strictObject({
    type: z.literal('BPE'),
    vocab,
    merges,
    dropout: z
      .number()
      .nullish()
      .refine((share) => !share, { error: 'leaves out merges at random; only null and 0 are read here' }),
    unk_token: z.string().nullish(),
    continuing_subword_prefix: z.string().nullish(),
    end_of_word_suffix: z.string().nullish(),
    fuse_unk: z.boolean().nullish(),
    byte_fallback: z.boolean().nullish(),
    ignore_merges: z.boolean().nullish(),
  })
  .transform(
    (it): BpeModel => ({
      type: 'BPE',
      vocab: it.vocab,
      merges: it.merges,
      unknown: it.unk_token ?? null,
      prefix: it.continuing_subword_prefix ?? '',
      suffix: it.end_of_word_suffix ?? '',
      fuseUnknown: it.fuse_unk ?? false,
      byteFallback: it.byte_fallback ?? false,
      ignoreMerges: it.ignore_merges ?? false,
    }),
  );

const unigram = z
  .strictObject({
    type: z.literal('Unigram'),
    vocab: z.array(z.tuple([z.string(), z.number()])).min(1),
    unk_id: z.int().min(0).nullish(),
    byte_fallback: z.boolean().nullish(),
    // With these, the library draws one of several ways to cut a text.
    alpha: z.null().optional(),
    nbest_size: z.null().optional(),
  })
  .refine((it) => (it.unk_id ?? 0) < it.vocab.length, {
    error: 'has an unk_id that is not in its vocabulary',
  })
  .transform(
    (it): UnigramModel => ({
      type: 'Unigram',
      pieces: it.vocab,
      unknownId: it.unk_id ?? null,
      byteFallback: it.byte_fallback ?? false,
    }),
  );

const wordLevel = z.strictObject({ type: z.literal('WordLevel'), vocab, unk_token: z.string() }).transform(
  (it): WordModel => ({
    type: 'WordLevel',
    vocab: it.vocab,
    unknown: it.unk_token,
    prefix: '',
    maxCharacters: Number.POSITIVE_INFINITY,
  }),
);

const wordPiece = z
  .strictObject({
    type: z.literal('WordPiece'),
    vocab,
    unk_token: z.string(),
    continuing_subword_prefix: z.string(),
    max_input_chars_per_word: z.int().min(0),
  })
  .transform(
    (it): WordModel => ({
      type: 'WordPiece',
      vocab: it.vocab,
      unknown: it.unk_token,
      prefix: it.continuing_subword_prefix,
      maxCharacters: it.max_input_chars_per_word,
    }),
  );

/** Old files do not name the type of the model. */
export const model = z.preprocess(
  (found) => (isObject(found) && !('type' in found) ? { ...found, type: guessType(found) } : found),
  z.discriminatedUnion('type', [bpe, unigram, wordLevel, wordPiece], {
    error: 'is of another type than BPE, Unigram, WordLevel and WordPiece, which are read here',
  }),
);

function guessType(found: object): string {
  if ('merges' in found) return 'BPE';
  if ('vocab' in found && Array.isArray(found.vocab)) return 'Unigram';
  return 'max_input_chars_per_word' in found ? 'WordPiece' : 'WordLevel';
}

function isPair(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && value.every((text) => typeof text === 'string');
}
