import type { EncodeWord } from './bpe.ts';
import type { WordModel } from './model-schema.ts';

/**
 * Builds WordLevel (a word is a token or unknown) or WordPiece (the longest piece first; a word with a character that
 * starts no piece is unknown).
 * @throws Error when the unknown token is not in the vocabulary.
 */
export function buildWords(model: WordModel): EncodeWord {
  const { vocab, type, unknown } = model;
  const unknownId = vocab.get(unknown);
  if (unknownId === undefined) throw new Error(`unk_token ${JSON.stringify(unknown)} is not in model.vocab`);
  if (type === 'WordLevel') return (word) => [vocab.get(word) ?? unknownId];
  return (word) => wordPieces(model, Array.from(word)) ?? [unknownId];
}

function wordPieces(
  { vocab, prefix, maxCharacters }: WordModel,
  characters: readonly string[],
): number[] | null {
  if (characters.length > maxCharacters) return null;
  const ids: number[] = [];
  for (let start = 0; start < characters.length; ) {
    let end = characters.length;
    let id: number | undefined;
    for (; end > start; end--) {
      id = vocab.get((start > 0 ? prefix : '') + characters.slice(start, end).join(''));
      if (id !== undefined) break;
    }
    if (id === undefined) return null;
    ids.push(id);
    start = end;
  }
  return ids;
}
