import { z } from 'zod';
import { UserError } from '../../../protocol/errors.ts';
import type { AddedToken } from './file.ts';

const token = z.union([z.string(), z.looseObject({ content: z.string() }).transform((it) => it.content)], {
  error: 'must be a text, an object with the text as "content", or null',
});

const flag = z.boolean().default(false);
const addedToken = z
  .looseObject({
    content: z.string(),
    single_word: flag,
    lstrip: flag,
    rstrip: flag,
    normalized: z.boolean().optional(),
    special: flag,
  })
  .transform((it): Omit<AddedToken, 'id'> => ({ ...it, normalized: it.normalized ?? !it.special }));

/** Most of its keys are for conversations and training, and are left alone. */
const schema = z.looseObject({
  bos_token: token.nullish(),
  eos_token: token.nullish(),
  add_bos_token: z.boolean().nullish(),
  added_tokens_decoder: z
    .record(z.string().regex(/^\d{1,10}$/, 'must be the id of a token'), addedToken)
    .nullish(),
});

export interface TokenizerConfig {
  /** Text of the token; null for none; undefined where the file does not tell. */
  readonly bos: string | null | undefined;
  readonly eos: string | null | undefined;
  /** True where texts begin with BOS; null where the file does not tell. */
  readonly addsBos: boolean | null;
  /** Tokens that are added where `tokenizer.json` lacks them, in order of id. */
  readonly added: readonly AddedToken[];
}

/**
 * Checks the contents of a `tokenizer_config.json`.
 * @param path names the file in messages.
 * @throws UserError `tokenizer/config`
 */
export function parseTokenizerConfig(path: string, json: unknown): TokenizerConfig {
  const { data, error } = schema.safeParse(json);
  if (error) {
    const [issue] = error.issues;
    throw new UserError(
      'tokenizer/config',
      `${path}: ${issue?.path.join('.')}: ${issue?.message.replace(/^Invalid input: /, '')}.`,
      'Use the file that came with the model, or correct it.',
    );
  }
  const added = Object.entries(data.added_tokens_decoder ?? {});
  return {
    bos: data.bos_token,
    eos: data.eos_token,
    addsBos: data.add_bos_token ?? null,
    added: added.map(([id, it]) => ({ ...it, id: Number(id) })).sort((a, b) => a.id - b.id),
  };
}
