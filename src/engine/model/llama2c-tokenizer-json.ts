import type { Llama2cPiece } from '../../formats/llama2c-tokenizer.ts';
import { UserError } from '../../protocol/errors.ts';

export const UNKNOWN_ID = 0;
export const BOS_ID = 1;
export const EOS_ID = 2;
const FIRST_BYTE_ID = 3;
const FIRST_TEXT_ID = FIRST_BYTE_ID + 256;

/** SentencePiece's visible space, the convention of Hugging Face files of this family. */
const SPACE = '▁';

/**
 * Builds `tokenizer.json` (byte-fallback BPE) that encodes text as llama2.c does: a space is put in front, characters
 * outside the vocabulary become byte tokens, then the adjacent pair whose joined text is the piece of the highest
 * score merges first, the leftmost on a tie. A merge rule is therefore listed for every split of every piece into
 * two pieces, ordered by the score of the piece.
 *
 * Two differences remain. BPE rules have distinct ranks, so pieces of equal score merge in order of id, not from the
 * left. And `<s>`, `</s>` and `▁` in the text are read as BOS, EOS and a space.
 * @param path names the file in messages.
 */
export function buildTokenizerJson(path: string, pieces: readonly Llama2cPiece[]): object {
  const texts = pieceTexts(path, pieces);
  const special = (id: number): object => ({
    id,
    content: texts[id],
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [special(BOS_ID), special(EOS_ID)],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: SPACE },
        { type: 'Replace', pattern: { String: ' ' }, content: SPACE },
      ],
    },
    pre_tokenizer: null,
    post_processor: buildPostProcessor(texts[BOS_ID]!),
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: SPACE }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: texts[UNKNOWN_ID],
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(texts.map((text, id) => [text, id])),
      merges: buildMerges(pieces, texts),
    },
  };
}

function buildPostProcessor(bos: string): object {
  const sequence = (id: 'A' | 'B', type: number): object => ({ Sequence: { id, type_id: type } });
  const start = (type: number): object => ({ SpecialToken: { id: bos, type_id: type } });
  return {
    type: 'TemplateProcessing',
    single: [start(0), sequence('A', 0)],
    pair: [start(0), sequence('A', 0), start(1), sequence('B', 1)],
    special_tokens: { [bos]: { id: bos, ids: [BOS_ID], tokens: [bos] } },
  };
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
  if (id >= FIRST_TEXT_ID) return text.replaceAll(' ', SPACE);
  const expected = `<0x${(id - FIRST_BYTE_ID).toString(16).toUpperCase().padStart(2, '0')}>`;
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

function buildMerges(pieces: readonly Llama2cPiece[], texts: readonly string[]): [string, string][] {
  // Markers and byte pieces never arise by merging.
  const mergeable = texts.slice(FIRST_TEXT_ID);
  const known = new Set(mergeable);
  const ordered = mergeable
    .map((text, i) => ({ text, score: pieces[FIRST_TEXT_ID + i]!.score }))
    .sort((a, b) => b.score - a.score);
  return ordered.flatMap(({ text }) =>
    splits(text).filter(([left, right]) => known.has(left) && known.has(right)),
  );
}

/** Every way to cut a text in two between characters (code points). */
function splits(text: string): [string, string][] {
  const characters = Array.from(text);
  return characters
    .slice(1)
    .map((_, i) => [characters.slice(0, i + 1).join(''), characters.slice(i + 1).join('')]);
}
