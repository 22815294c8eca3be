import { z } from 'zod';
import { pattern, typeName, unknownType } from './components.ts';

const whole = z.int().min(0);
const PLAIN_DECODERS = [
  z.strictObject({
    type: z.literal('ByteLevel'),
    add_prefix_space: z.boolean().optional(),
    trim_offsets: z.boolean().optional(),
    use_regex: z.boolean().optional(),
  }),
  z.strictObject({
    type: z.literal('Metaspace'),
    replacement: z.string().optional(),
    prepend_scheme: z.string().optional(),
    split: z.boolean().optional(),
    add_prefix_space: z.boolean().optional(),
    str_rep: z.string().optional(),
  }),
  z.strictObject({ type: z.literal('WordPiece'), prefix: z.string(), cleanup: z.boolean() }),
  z.strictObject({ type: z.literal('BPEDecoder'), suffix: z.string() }),
  z.strictObject({
    type: z.literal('CTC'),
    pad_token: z.string(),
    word_delimiter_token: z.string(),
    cleanup: z.boolean(),
  }),
  z.strictObject({ type: z.literal('Replace'), pattern, content: z.string() }),
  z.strictObject({ type: z.literal('Strip'), content: z.string(), start: whole, stop: whole }),
  z.strictObject({ type: z.literal('Fuse') }),
  z.strictObject({ type: z.literal('ByteFallback') }),
] as const;
export type Decoder =
  | z.infer<(typeof PLAIN_DECODERS)[number]>
  | { readonly type: 'Sequence'; readonly decoders: readonly Decoder[] };

/** Turns tokens back into text. */
export const decoder: z.ZodType<Decoder> = z.lazy(() =>
  z.discriminatedUnion(
    'type',
    [...PLAIN_DECODERS, z.strictObject({ type: z.literal('Sequence'), decoders: z.array(decoder) })],
    { error: unknownType(['Sequence', ...PLAIN_DECODERS.map(typeName)]) },
  ),
);
