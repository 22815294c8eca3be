import { UserError } from '../protocol/errors.ts';
import { ByteReader } from './byte-reader.ts';

/**
 * A vocabulary entry has a score (higher merges first) and UTF-8 bytes. Ids 0, 1, 2 are unknown, BOS and EOS; ids 3–258
 * are the bytes.
 */
export interface Llama2cPiece {
  readonly score: number;
  readonly bytes: Uint8Array;
}

/**
 * Parses a llama2.c tokenizer file: int32 longest piece, then per piece float32 score, int32 length, bytes.
 * The file does not record how many pieces it has: the checkpoint's vocabulary size does.
 * @throws UserError `llama2c/…`
 */
export function parseLlama2cTokenizer(path: string, bytes: Uint8Array, vocabSize: number): Llama2cPiece[] {
  const reader = new ByteReader(path, bytes);
  reader.int32('the longest piece');
  const pieces: Llama2cPiece[] = [];
  while (pieces.length < vocabSize && reader.position < bytes.length) {
    const what = `piece ${pieces.length}`;
    const score = reader.float32(what);
    const length = reader.int32(what);
    if (length < 0)
      throw new UserError('llama2c/piece', `${path}: ${what} has length ${length}.`, 'The file is damaged.');
    pieces.push({ score, bytes: reader.slice(length, what) });
  }
  if (pieces.length < vocabSize || reader.position !== bytes.length) {
    const found = pieces.length < vocabSize ? `only ${pieces.length}` : 'more';
    throw new UserError(
      'llama2c/vocabulary',
      `${path} has ${found} pieces; the checkpoint's vocabulary has ${vocabSize}.`,
      'Use the tokenizer that the checkpoint was trained with.',
    );
  }
  return pieces;
}
