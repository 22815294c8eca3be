import type { AddedToken } from './file.ts';
import type { Piece } from './pre-tokenizers.ts';
import { Trie } from './trie.ts';

/** A token that was found in the text, or a stretch between such tokens. */
export type Section = Piece | { readonly added: AddedToken };

/** Finds added tokens in a piece of text. */
export type Splitter = (piece: Piece) => Section[];

const WORD = '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]';
const ENDS_IN_WORD = new RegExp(`${WORD}$`, 'u');
const STARTS_WITH_WORD = new RegExp(`^${WORD}`, 'u');
const SPACE = /\p{White_Space}/u;

/**
 * Finds added tokens as the tokenizers library in Rust does: at every place the longest one, from left to right. A
 * token that must stand alone and does not is passed over; `lstrip` and `rstrip` take the white space beside it.
 * @param written the text of a token as it is looked for.
 * @throws Error when that text is empty: it would be found everywhere.
 */
export function buildSplitter(
  tokens: readonly AddedToken[],
  written: (content: string) => string = (content) => content,
): Splitter {
  const trie = new Trie();
  let some = false;
  for (const [index, token] of tokens.entries()) {
    const text = written(token.content);
    if (text === '')
      throw new Error(`the normalizer leaves nothing of the added token ${JSON.stringify(token.content)}`);
    trie.set(text, index);
    some = true;
  }
  return some ? (piece) => split(piece, trie, tokens) : (piece) => (piece.text === '' ? [] : [piece]);
}

function split({ text, first }: Piece, trie: Trie, tokens: readonly AddedToken[]): Section[] {
  const sections: Section[] = [];
  let done = 0;
  const between = (end: number): void => {
    if (end > done) sections.push({ text: text.slice(done, end), first: first && done === 0 });
  };
  for (let at = 0; at < text.length; at++) {
    const match = longestAt(text, at, trie);
    if (match === null) continue;
    const added = tokens[match.value]!;
    if (!added.single_word || standsAlone(text, at, match.end)) {
      const start = added.lstrip ? Math.max(spaceBefore(text, at), done) : at;
      const end = added.rstrip ? spaceBehind(text, match.end) : match.end;
      between(start);
      // White space that the token before has taken may be all that there was.
      if (end > start) sections.push({ added });
      done = end;
    }
    // What follows a match is looked at from its end, as it is where the match was passed over.
    at = match.end - 1;
  }
  between(text.length);
  return sections;
}

function longestAt(text: string, at: number, trie: Trie): { end: number; value: number } | null {
  let longest: { end: number; value: number } | null = null;
  trie.visit(text, at, (end, value) => {
    longest = { end, value };
  });
  return longest;
}

function standsAlone(text: string, start: number, end: number): boolean {
  // A character may be two units long.
  return (
    !ENDS_IN_WORD.test(text.slice(Math.max(0, start - 2), start)) &&
    !STARTS_WITH_WORD.test(text.slice(end, end + 2))
  );
}

function spaceBefore(text: string, end: number): number {
  let start = end;
  while (start > 0 && SPACE.test(text[start - 1]!)) start--;
  return start;
}

function spaceBehind(text: string, start: number): number {
  let end = start;
  while (end < text.length && SPACE.test(text[end]!)) end++;
  return end;
}
