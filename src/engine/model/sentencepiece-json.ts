import { addedToken, aroundText } from './tokenizer-json.ts';

/** Hugging Face files of this family use SentencePiece's visible space. */
const SPACE = '▁';

/** A vocabulary entry. Only `normal` pieces come from merges; `special` and `literal` pieces are matched first. */
export interface Piece {
  /** Spaces are written as `▁`. */
  readonly text: string;
  /** Higher scores merge first. */
  readonly score: number;
  readonly kind: 'normal' | 'byte' | 'special' | 'literal' | 'unused';
}

export interface SentencePieceModel {
  /** The index is the id. No two texts are equal. */
  readonly pieces: readonly Piece[];
  /** This id stands for a character that has neither a piece nor byte pieces. */
  readonly unknownId: number;
  /** True where a space is put in front of the text. */
  readonly spacePrefix: boolean;
  /** The post-processor puts this token before every text; null for none. */
  readonly bosId: number | null;
  /** The post-processor puts this token behind every text; null for none. */
  readonly eosId: number | null;
}

/**
 * Builds a `tokenizer.json` (byte-fallback BPE) that encodes as a SentencePiece BPE model does. Characters outside the
 * vocabulary become byte tokens. Then the adjacent pair whose joined text is the piece of the highest score merges
 * first, the leftmost on a tie. A merge rule is therefore listed for every split of every piece into two pieces,
 * ordered by the score of the piece.
 *
 * Two differences remain. BPE rules have distinct ranks, so pieces of equal score merge in order of id, not from the
 * left. Special tokens and `▁` in the text are read as themselves.
 */
export function buildSentencePieceJson(model: SentencePieceModel): object {
  const { pieces, spacePrefix } = model;
  const token = (id: number | null) => (id === null ? null : { id, content: pieces[id]!.text });
  const decoders: object[] = [
    { type: 'Replace', pattern: { String: SPACE }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
  ];
  const normalizers: object[] = [{ type: 'Replace', pattern: { String: ' ' }, content: SPACE }];
  if (spacePrefix) {
    normalizers.unshift({ type: 'Prepend', prepend: SPACE });
    decoders.push({ type: 'Strip', content: ' ', start: 1, stop: 0 });
  }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: pieces.flatMap(({ text, kind }, id) =>
      kind === 'special' || kind === 'literal' ? [addedToken({ id, content: text }, kind === 'special')] : [],
    ),
    normalizer: { type: 'Sequence', normalizers },
    pre_tokenizer: null,
    post_processor: aroundText(token(model.bosId), token(model.eosId)),
    decoder: { type: 'Sequence', decoders },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: pieces[model.unknownId]!.text,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(pieces.map(({ text }, id) => [text, id])),
      merges: buildMerges(pieces),
    },
  };
}

function buildMerges(pieces: readonly Piece[]): [string, string][] {
  const mergeable = pieces.filter(({ kind }) => kind === 'normal');
  const known = new Set(mergeable.map(({ text }) => text));
  const ordered = mergeable.sort((a, b) => b.score - a.score);
  return ordered.flatMap(({ text }) =>
    splits(text).filter(([left, right]) => known.has(left) && known.has(right)),
  );
}

/** Returns every way to cut a text in two between characters (code points). */
function splits(text: string): [string, string][] {
  const characters = Array.from(text);
  return characters
    .slice(1)
    .map((_, i) => [characters.slice(0, i + 1).join(''), characters.slice(i + 1).join('')]);
}
