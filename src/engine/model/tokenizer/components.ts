/** What `tokenizer.json` may hold before its model: the fields of the tokenizers library in Rust (0.23), and no others. */
import { z } from 'zod';

export const pattern = z.union(
  [z.strictObject({ Regex: z.string() }), z.strictObject({ String: z.string() })],
  {
    error: 'must be {"Regex": "…"} or {"String": "…"}',
  },
);
export type Pattern = z.infer<typeof pattern>;

const behavior = z.enum(['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous']);
export type Behavior = z.infer<typeof behavior>;

/** A type that is not in the list gets a message that names the list. */
export function unknownType(known: readonly string[]) {
  return (issue: { readonly input?: unknown }): string => {
    const { input } = issue;
    const found = typeof input === 'object' && input !== null && 'type' in input ? input.type : undefined;
    const shown = found === undefined ? 'no type' : `the type ${JSON.stringify(found)?.slice(0, 60)}`;
    return `has ${shown}; the types that are read here are ${known.join(', ')}`;
  };
}

const PLAIN_NORMALIZERS = [
  z.strictObject({ type: z.literal('NFC') }),
  z.strictObject({ type: z.literal('NFD') }),
  z.strictObject({ type: z.literal('NFKC') }),
  z.strictObject({ type: z.literal('NFKD') }),
  z.strictObject({ type: z.literal('Lowercase') }),
  z.strictObject({ type: z.literal('StripAccents') }),
  z.strictObject({ type: z.literal('Nmt') }),
  z.strictObject({ type: z.literal('ByteLevel') }),
  z.strictObject({ type: z.literal('Strip'), strip_left: z.boolean(), strip_right: z.boolean() }),
  z.strictObject({ type: z.literal('Prepend'), prepend: z.string() }),
  z.strictObject({ type: z.literal('Replace'), pattern, content: z.string() }),
  z.strictObject({ type: z.literal('Precompiled'), precompiled_charsmap: z.string() }),
] as const;
export type Normalizer =
  | z.infer<(typeof PLAIN_NORMALIZERS)[number]>
  | { readonly type: 'Sequence'; readonly normalizers: readonly Normalizer[] };

export const normalizer: z.ZodType<Normalizer> = z.lazy(() =>
  z.discriminatedUnion(
    'type',
    [...PLAIN_NORMALIZERS, z.strictObject({ type: z.literal('Sequence'), normalizers: z.array(normalizer) })],
    { error: unknownType(['Sequence', ...PLAIN_NORMALIZERS.map(typeName)]) },
  ),
);

const metaspace = z
  .strictObject({
    type: z.literal('Metaspace'),
    replacement: z.string().regex(/^.$/su, 'must be one character'),
    prepend_scheme: z.enum(['first', 'never', 'always']).optional(),
    split: z.boolean().optional(),
    // Older files have these two.
    add_prefix_space: z.boolean().optional(),
    str_rep: z.string().optional(),
  })
  .refine(
    (it) => it.add_prefix_space !== false || it.prepend_scheme === undefined || it.prepend_scheme === 'never',
    { error: 'has add_prefix_space false, which contradicts its prepend_scheme' },
  );
const PLAIN_PRE_TOKENIZERS = [
  z.strictObject({
    type: z.literal('ByteLevel'),
    add_prefix_space: z.boolean(),
    trim_offsets: z.boolean().optional(),
    use_regex: z.boolean().optional(),
  }),
  z.strictObject({ type: z.literal('Split'), pattern, behavior, invert: z.boolean() }),
  z.strictObject({ type: z.literal('Digits'), individual_digits: z.boolean() }),
  z.strictObject({ type: z.literal('Punctuation'), behavior: behavior.optional() }),
  z.strictObject({
    type: z.literal('CharDelimiterSplit'),
    delimiter: z.string().regex(/^.$/su, 'must be one character'),
  }),
  z.strictObject({ type: z.literal('FixedLength'), length: z.int().min(1) }),
  z.strictObject({ type: z.literal('Whitespace') }),
  z.strictObject({ type: z.literal('WhitespaceSplit') }),
  z.strictObject({ type: z.literal('BertPreTokenizer') }),
] as const;
export type PreTokenizer =
  | z.infer<(typeof PLAIN_PRE_TOKENIZERS)[number]>
  | z.infer<typeof metaspace>
  | { readonly type: 'Sequence'; readonly pretokenizers: readonly PreTokenizer[] };

export const preTokenizer: z.ZodType<PreTokenizer> = z.lazy(() =>
  z.discriminatedUnion(
    'type',
    [
      ...PLAIN_PRE_TOKENIZERS,
      metaspace,
      z.strictObject({ type: z.literal('Sequence'), pretokenizers: z.array(preTokenizer) }),
    ],
    { error: unknownType(['Sequence', 'Metaspace', ...PLAIN_PRE_TOKENIZERS.map(typeName)]) },
  ),
);

const id = z.int().min(0).max(0xffffffff);
const named = z.tuple([z.string(), id]);
const part = z.union([
  z.strictObject({ SpecialToken: z.strictObject({ id: z.string(), type_id: id }) }),
  z.strictObject({ Sequence: z.strictObject({ id: z.enum(['A', 'B']), type_id: id }) }),
]);
const specialToken = z.strictObject({ id: z.string(), ids: z.array(id), tokens: z.array(z.string()) });
const PLAIN_POST_PROCESSORS = [
  z.strictObject({
    type: z.literal('TemplateProcessing'),
    single: z.array(part),
    pair: z.array(part),
    special_tokens: z.record(z.string(), specialToken),
  }),
  z.strictObject({
    type: z.literal('ByteLevel'),
    add_prefix_space: z.boolean(),
    trim_offsets: z.boolean().optional(),
    use_regex: z.boolean().optional(),
  }),
  z.strictObject({ type: z.literal('BertProcessing'), sep: named, cls: named }),
  z.strictObject({
    type: z.literal('RobertaProcessing'),
    sep: named,
    cls: named,
    trim_offsets: z.boolean().optional(),
    add_prefix_space: z.boolean().optional(),
  }),
] as const;
export type PostProcessor =
  | z.infer<(typeof PLAIN_POST_PROCESSORS)[number]>
  | { readonly type: 'Sequence'; readonly processors: readonly PostProcessor[] };

/** No text is encoded with the tokens that it adds: of them, only one before the text is asked for. */
export const postProcessor: z.ZodType<PostProcessor> = z.lazy(() =>
  z.discriminatedUnion(
    'type',
    [
      ...PLAIN_POST_PROCESSORS,
      z.strictObject({ type: z.literal('Sequence'), processors: z.array(postProcessor) }),
    ],
    { error: unknownType(['Sequence', ...PLAIN_POST_PROCESSORS.map(typeName)]) },
  ),
);

/** The value of a schema's `type`. */
export function typeName(schema: { readonly shape: { readonly type: { readonly value: string } } }): string {
  return schema.shape.type.value;
}
