import { visibleBytes } from './bytes.ts';
import type { PreTokenizer } from './components.ts';
import { compilePattern, cutText } from './pattern.ts';

/** A stretch of the normalized text. */
export interface Piece {
  readonly text: string;
  /** True where it begins at the start of the whole text. */
  readonly first: boolean;
}

type PreTokenize = (pieces: readonly Piece[]) => Piece[];

const GPT2 =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const WHITE_SPACE = /\p{White_Space}/gu;
/** Words as the regular expressions of Rust have them. */
const WORD = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}';
const WORDS_OR_SIGNS = new RegExp(`[${WORD}]+|[^${WORD}\\p{White_Space}]+`, 'gu');
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;

/**
 * Builds a pre-tokenizer that does what the tokenizers library in Rust does.
 * @throws Error when a pattern cannot be translated.
 */
export function buildPreTokenizer(preTokenizer: PreTokenizer | null): PreTokenize {
  if (preTokenizer === null) return (pieces) => [...pieces];
  switch (preTokenizer.type) {
    case 'Sequence': {
      const steps = preTokenizer.pretokenizers.map(buildPreTokenizer);
      return (pieces) => steps.reduce<Piece[]>((result, step) => step(result), [...pieces]);
    }
    case 'ByteLevel':
      return buildByteLevel(preTokenizer);
    case 'Metaspace':
      return buildMetaspace(preTokenizer);
    case 'Split': {
      const pattern = compilePattern(preTokenizer.pattern);
      return cutting(pattern, preTokenizer.behavior, preTokenizer.invert);
    }
    case 'CharDelimiterSplit':
      return cutting(compilePattern({ String: preTokenizer.delimiter }), 'Removed', false);
    case 'Digits':
      return cutting(/\p{N}/gu, preTokenizer.individual_digits ? 'Isolated' : 'Contiguous', false);
    case 'Punctuation':
      return cutting(PUNCTUATION, preTokenizer.behavior ?? 'Isolated', false);
    case 'Whitespace':
      return cutting(WORDS_OR_SIGNS, 'Removed', true);
    case 'WhitespaceSplit':
      return cutting(WHITE_SPACE, 'Removed', false);
    case 'BertPreTokenizer': {
      const words = cutting(WHITE_SPACE, 'Removed', false);
      const signs = cutting(PUNCTUATION, 'Isolated', false);
      return (pieces) => signs(words(pieces));
    }
    case 'FixedLength':
      return cutting(new RegExp(`.{1,${preTokenizer.length}}`, 'gsu'), 'Isolated', false);
  }
}

function cutting(...[pattern, behavior, invert]: CutRule): PreTokenize {
  return (pieces) => pieces.flatMap((piece) => cut(piece, pattern, behavior, invert));
}

type CutRule = [
  pattern: Parameters<typeof cutText>[1],
  behavior: Parameters<typeof cutText>[2],
  invert: boolean,
];

function cut({ text, first }: Piece, ...rule: CutRule): Piece[] {
  return cutText(text, ...rule).map((found) => ({ text: found.text, first: first && found.start === 0 }));
}

function buildByteLevel(options: Extract<PreTokenizer, { type: 'ByteLevel' }>): PreTokenize {
  const { add_prefix_space: prefixed, use_regex: cuts = true } = options;
  return (pieces) =>
    pieces.flatMap((piece) => {
      const text = prefixed && !piece.text.startsWith(' ') ? ` ${piece.text}` : piece.text;
      const words = cuts ? cut({ ...piece, text }, GPT2, 'Isolated', false) : [{ ...piece, text }];
      return words.map((word) => ({ ...word, text: visibleBytes(word.text) }));
    });
}

function buildMetaspace(options: Extract<PreTokenizer, { type: 'Metaspace' }>): PreTokenize {
  const { replacement, split = true } = options;
  const scheme = options.prepend_scheme ?? (options.add_prefix_space === false ? 'never' : 'always');
  const pattern = compilePattern({ String: replacement });
  return (pieces) =>
    pieces.flatMap((piece) => {
      const spaced = piece.text.replaceAll(' ', () => replacement);
      const prefixed = scheme === 'always' || (scheme === 'first' && piece.first);
      const text = prefixed && !spaced.startsWith(replacement) ? replacement + spaced : spaced;
      return split ? cut({ ...piece, text }, pattern, 'MergedWithNext', false) : [{ ...piece, text }];
    });
}
