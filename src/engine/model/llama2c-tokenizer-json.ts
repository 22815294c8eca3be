import type { Llama2cPiece } from '../../formats/llama2c-tokenizer.ts';
import { UserError } from '../../protocol/errors.ts';
import type { Piece } from './sentencepiece-json.ts';
import { buildSentencePieceJson } from './sentencepiece-json.ts';
import { bytePiece } from './tokenizer/bytes.ts';

export const UNKNOWN_ID = 0;
export const BOS_ID = 1;
export const EOS_ID = 2;
const FIRST_BYTE_ID = 3;
const FIRST_TEXT_ID = FIRST_BYTE_ID + 256;

/**
 * Builds a `tokenizer.json` that encodes text as llama2.c does: with a space in front, then by SentencePiece's BPE.
 * @param path names the file in messages.
 */
export function buildTokenizerJson(path: string, pieces: readonly Llama2cPiece[]): object {
  const texts = pieceTexts(path, pieces);
  return buildSentencePieceJson({
    pieces: texts.map((text, id) => ({ text, score: pieces[id]!.score, kind: kindOf(id) })),
    unknownId: UNKNOWN_ID,
    spacePrefix: true,
    bosId: BOS_ID,
    eosId: null,
  });
}

function kindOf(id: number): Piece['kind'] {
  if (id >= FIRST_TEXT_ID) return 'normal';
  if (id >= FIRST_BYTE_ID) return 'byte';
  // llama2.c never reads "<unk>" in a text as the token.
  return id === UNKNOWN_ID ? 'unused' : 'special';
}

function pieceTexts(path: string, pieces: readonly Llama2cPiece[]): string[] {
  const seen = new Map<string, number>();
  return pieces.map((piece, id) => {
    const text = pieceText(path, piece, id);
    const other = seen.get(text);
    if (other !== undefined) throw faulty(path, `pieces ${other} and ${id} are both ${JSON.stringify(text)}`);
    seen.set(text, id);
    return text;
  });
}

function pieceText(path: string, piece: Llama2cPiece, id: number): string {
  // llama2.c prints the markers on lines of their own.
  if (id === UNKNOWN_ID) return '<unk>';
  if (id === BOS_ID) return '<s>';
  if (id === EOS_ID) return '</s>';
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(piece.bytes);
  } catch {
    throw faulty(path, `piece ${id} is not valid UTF-8`);
  }
  if (id >= FIRST_TEXT_ID) return text.replaceAll(' ', '▁');
  const expected = bytePiece(id - FIRST_BYTE_ID);
  if (text !== expected)
    throw faulty(path, `piece ${id} is ${JSON.stringify(text)}; the byte piece ${expected} is expected`);
  return text;
}

function faulty(path: string, problem: string): UserError {
  return new UserError(
    'llama2c/piece',
    `${path}: ${problem}.`,
    'This tokenizer file has another layout or is damaged.',
  );
}
