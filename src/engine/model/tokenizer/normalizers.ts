import { visibleBytes } from './bytes.ts';
import { parseCharsmap } from './charsmap.ts';
import type { Normalizer } from './components.ts';
import { compilePattern } from './pattern.ts';

type Normalize = (text: string) => string;

/**
 * Builds a normalizer that does what the tokenizers library in Rust does. White space is Unicode's, which has U+0085
 * and lacks U+FEFF; JavaScript's `trim` and `\s` have it the other way round.
 * @throws Error when a pattern or a table cannot be read.
 */
export function buildNormalizer(normalizer: Normalizer | null): Normalize {
  if (normalizer === null) return (text) => text;
  switch (normalizer.type) {
    case 'Sequence': {
      const steps = normalizer.normalizers.map(buildNormalizer);
      return (text) => steps.reduce((result, step) => step(result), text);
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => text.normalize(normalizer.type);
    case 'Lowercase':
      // The whole text at once would give a final sigma another form.
      return (text) => text.replace(/[^\0-@[-\x7f]/gu, (character) => character.toLowerCase());
    case 'StripAccents':
      return (text) => text.replace(/\p{M}/gu, '');
    case 'Nmt':
      return (text) => text.replace(NMT_DROPPED, '').replace(NMT_SPACES, ' ');
    case 'ByteLevel':
      return visibleBytes;
    case 'Strip':
      return buildStrip(normalizer.strip_left, normalizer.strip_right);
    case 'Prepend':
      return (text) => (text === '' ? text : normalizer.prepend + text);
    case 'Replace': {
      const pattern = compilePattern(normalizer.pattern);
      // A function, because a text as the replacement may hold `$&`.
      return (text) => (pattern === null ? text : text.replace(pattern, () => normalizer.content));
    }
    case 'Precompiled':
      return parseCharsmap(normalizer.precompiled_charsmap);
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: These are the characters that the normalizer drops.
const NMT_DROPPED = /[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]/g;
const NMT_SPACES = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g;

const SPACE = /\p{White_Space}/u;

function buildStrip(left: boolean, right: boolean): Normalize {
  return (text) => {
    let [start, end] = [0, text.length];
    // A regular expression would try every run of spaces up to its end.
    while (left && start < end && SPACE.test(text[start]!)) start++;
    while (right && end > start && SPACE.test(text[end - 1]!)) end--;
    return text.slice(start, end);
  };
}
