import type { EncodeWord } from './bpe.ts';
import { bytePieces } from './bytes.ts';
import type { UnigramModel } from './model-schema.ts';
import { Trie } from './trie.ts';

/** An unknown character scores this much less than the worst piece, as in SentencePiece. */
const UNKNOWN_PENALTY = 10;

/**
 * Builds SentencePiece's unigram model as the tokenizers library in Rust has it: the cut with the highest sum of
 * scores (Viterbi's algorithm), of equal ones the one found first. Unknown characters in a row are one token, or the
 * pieces of their bytes where all of them are in the vocabulary.
 */
export function buildUnigram(model: UnigramModel): EncodeWord {
  const { pieces, unknownId, byteFallback } = model;
  const ids = new Map(pieces.map(([text], id) => [text, id]));
  const trie = new Trie();
  for (const [text, id] of ids) if (text !== '') trie.set(text, id);
  const lowest = pieces.reduce((least, [, score]) => Math.min(least, score), Number.POSITIVE_INFINITY);
  const bytesOf = (text: string): readonly number[] | null => {
    if (!byteFallback) return null;
    const found = bytePieces(text).map((piece) => ids.get(piece));
    return found.every((id) => id !== undefined) ? found : null;
  };
  return (word) => {
    const stretches = bestStretches(word, trie, pieces, lowest - UNKNOWN_PENALTY);
    return joinUnknown(stretches, unknownId).flatMap(({ start, end, id }) => {
      if (id !== unknownId && id >= 0) return id;
      const text = word.slice(start, end);
      const known = ids.get(text) ?? bytesOf(text);
      if (known !== null) return known;
      if (unknownId !== null) return unknownId;
      throw new UnknownCharacter(text);
    });
  };
}

/** The tokenizer has no token for unknown characters, and such a character occurs. */
export class UnknownCharacter extends Error {
  readonly text: string;

  constructor(text: string) {
    super(`no token for ${JSON.stringify(text.slice(0, 20))}`);
    this.text = text;
  }
}

interface Stretch {
  readonly start: number;
  readonly end: number;
  /** −1 for an unknown character. */
  readonly id: number;
}

function bestStretches(
  word: string,
  trie: Trie,
  pieces: UnigramModel['pieces'],
  unknownScore: number,
): Stretch[] {
  // By end: the score of the best cut up to there, where its last piece starts, and which piece that is.
  const scores = new Float64Array(word.length + 1);
  const starts = new Int32Array(word.length + 1).fill(-1);
  const last = new Int32Array(word.length + 1);
  let at = 0;
  const offer = (end: number, score: number, id: number): void => {
    if (starts[end]! >= 0 && score <= scores[end]!) return;
    scores[end] = score;
    starts[end] = at;
    last[end] = id;
  };
  while (at < word.length) {
    const character = at + (word.codePointAt(at)! > 0xffff ? 2 : 1);
    const here = scores[at]!;
    let single = false;
    trie.visit(word, at, (end, id) => {
      offer(end, pieces[id]![1] + here, id);
      if (end === character) single = true;
    });
    if (!single) offer(character, unknownScore + here, -1);
    at = character;
  }
  const stretches: Stretch[] = [];
  for (let end = word.length; end > 0; end = starts[end]!)
    stretches.push({ start: starts[end]!, end, id: last[end]! });
  return stretches.reverse();
}

function joinUnknown(stretches: readonly Stretch[], unknownId: number | null): Stretch[] {
  const joined: Stretch[] = [];
  const isUnknown = ({ id }: Stretch): boolean => id < 0 || id === unknownId;
  for (const stretch of stretches) {
    const before = joined.at(-1);
    if (before && isUnknown(before) && isUnknown(stretch))
      joined[joined.length - 1] = { ...before, end: stretch.end, id: -1 };
    else joined.push(stretch);
  }
  return joined;
}
