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
  const ordinary = ordinaryIds(model);
  const size = model.type === 'Unigram' ? model.pieces.length : model.vocab.size;
  const own = new Map<string, number>();
  const idOf = (text: string): number | undefined => own.get(text) ?? ordinary.get(text);
  const added: AddedToken[] = [];
  const disputed = new Map<number, AddedToken>();
  let lastAdded = -1;
  for (const token of addedTokens) {
    if (token.content === '') continue;
    const following = lastAdded >= size ? lastAdded + 1 : size;
    const id = idOf(token.content) ?? following;
    if (id !== token.id) disputed.set(id, token);
    lastAdded = Math.max(lastAdded, id);
    own.set(token.content, id);
    added.push({ ...token, id });
  }
  let [largest, largestOrdinary] = [lastAdded, -1];
  for (const [text, id] of ordinary) {
    if (id > largest) largest = id;
    if (id > largestOrdinary && !own.has(text)) largestOrdinary = id;
  }
  let texts: Texts | undefined;
  const textOf = (id: number): string | undefined => {
    texts ??= textsOf(ordinary, own, largest);
    return texts.get(id);
  };
  return { added, disputed, idOf, textOf, largestOrdinary, largest };
}

function ordinaryIds(model: Model): ReadonlyMap<string, number> {
  return model.type === 'Unigram' ? new Map(model.pieces.map(([text], id) => [text, id])) : model.vocab;
}

interface Texts {
  get(id: number): string | undefined;
}

/** Ids above this are looked up: a list of them would have more holes than texts. */
const MOST_IDS = 2 ** 22;

/** Texts by id. They are needed when the first token is shown. */
function textsOf(
  ordinary: ReadonlyMap<string, number>,
  own: ReadonlyMap<string, number>,
  largest: number,
): Texts {
  if (largest >= MOST_IDS) return new Map([...ordinary, ...own].map(([text, id]) => [id, text]));
  const texts: string[] = [];
  for (const ids of [ordinary, own]) for (const [text, id] of ids) texts[id] = text;
  return { get: (id) => texts[id] };
}
