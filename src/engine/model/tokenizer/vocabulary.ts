import type { AddedToken, TokenizerFile } from './file.ts';
import type { Model } from './model-schema.ts';

export interface NumberedTokens {
  /** Added tokens with the ids that count. */
  readonly added: readonly AddedToken[];
  /** Ids of added tokens for which the file has another number, with that number. */
  readonly disputed: ReadonlyMap<number, AddedToken>;
  readonly idOf: (text: string) => number | undefined;
  readonly textOf: (id: number) => string | undefined;
  /** The largest id of a token of the model that is not an added one; −1 where there is none. */
  readonly largestOrdinary: number;
  readonly largest: number;
}

/**
 * Numbers the tokens as the tokenizers library in Rust does. It takes the id of an added token from the model's
 * vocabulary, and counts on from the last one where that lacks it: the file's own number is not looked at.
 */
export function numberTokens({ model, addedTokens }: TokenizerFile): NumberedTokens {
  const ids = ordinaryIds(model);
  const size = model.type === 'Unigram' ? model.pieces.length : model.vocab.size;
  const added: AddedToken[] = [];
  const disputed = new Map<number, AddedToken>();
  let lastAdded = -1;
  for (const token of addedTokens) {
    if (token.content === '') continue;
    const following = lastAdded >= size ? lastAdded + 1 : size;
    const id = ids.get(token.content) ?? following;
    if (id !== token.id) disputed.set(id, token);
    lastAdded = Math.max(lastAdded, id);
    ids.set(token.content, id);
    added.push({ ...token, id });
  }
  const texts = new Map(Array.from(ids, ([text, id]) => [id, text]));
  const addedTexts = new Set(added.map(({ content }) => content));
  let [largest, largestOrdinary] = [-1, -1];
  for (const [text, id] of ids) {
    largest = Math.max(largest, id);
    if (!addedTexts.has(text)) largestOrdinary = Math.max(largestOrdinary, id);
  }
  return {
    added,
    disputed,
    idOf: (text) => ids.get(text),
    textOf: (id) => texts.get(id),
    largestOrdinary,
    largest,
  };
}

function ordinaryIds(model: Model): Map<string, number> {
  return new Map(model.type === 'Unigram' ? model.pieces.map(([text], id) => [text, id]) : model.vocab);
}
