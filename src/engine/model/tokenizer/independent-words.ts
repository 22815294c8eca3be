import type { BpeModel } from './model-schema.ts';

/** SentencePiece's visible space. */
const SPACE = '▁';

/** A word is a run of spaces and what follows: cuts lie before each `▁` that follows another character. */
const WORDS = new RegExp(`${SPACE}*[^${SPACE}]+|${SPACE}+`, 'g');

/** SentencePiece-style files feed the whole text to BPE as one word. Smaller words take less memory, and are cached. */
export function cutAtSpaces(text: string): readonly string[] {
  return text.match(WORDS) ?? [];
}

/**
 * Tells whether cuts before `▁` change nothing: no merge rule joins a piece that ends in another character with one
 * that starts with `▁`. Then no merge spans a cut, and the merges on its two sides never meet.
 */
export function areWordsIndependent({ vocab, merges, prefix, suffix, ignoreMerges }: BpeModel): boolean {
  // With these options, the model looks at whole words, not only at adjacent pieces.
  if (ignoreMerges || suffix !== '' || prefix !== '') return false;
  // An unknown space would be joined with unknown characters beside it.
  if (!vocab.has(SPACE)) return false;
  return merges.every(([left, right]) => left.endsWith(SPACE) || !right.startsWith(SPACE));
}
