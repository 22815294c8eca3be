/** Every kind of tokenizer has these parts in its `tokenizer.json`. */

export interface SpecialToken {
  readonly id: number;
  readonly content: string;
}

/** An added token is matched in the text as it is written, before anything else. */
export function addedToken({ id, content }: SpecialToken, special: boolean): object {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special };
}

/** Builds a post-processor that puts BOS before every text and EOS behind it; null when there is neither. */
export function aroundText(bos: SpecialToken | null, eos: SpecialToken | null): object | null {
  const specials = [bos, eos].filter((token) => token !== null);
  if (specials.length === 0) return null;
  const mark = (token: SpecialToken | null, type: number): object[] =>
    token ? [{ SpecialToken: { id: token.content, type_id: type } }] : [];
  const sequence = (id: 'A' | 'B', type: number): object[] => [
    ...mark(bos, type),
    { Sequence: { id, type_id: type } },
    ...mark(eos, type),
  ];
  return {
    type: 'TemplateProcessing',
    single: sequence('A', 0),
    pair: [...sequence('A', 0), ...sequence('B', 1)],
    special_tokens: Object.fromEntries(
      specials.map(({ id, content }) => [content, { id: content, ids: [id], tokens: [content] }]),
    ),
  };
}
