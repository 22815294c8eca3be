/** A byte-level BPE as in GPT-2 (Radford et al. 2019). A pattern cuts words, then bytes are merged in pairs. */
export interface BytePairEncoding {
  /** Token texts map to ids: the special tokens, the 256 bytes, then one token per merge. */
  readonly vocabulary: ReadonlyMap<string, number>;
  /** The most frequent pair of token texts comes first. */
  readonly merges: readonly (readonly [string, string])[];
}

/** GPT-2's pattern finds contractions, words, numbers and marks, with the space before, and other white space. */
const WORD = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/**
 * Returns the printable character that stands for each byte. Bytes that are visible characters of Latin-1 stand for
 * themselves, the others for the characters from U+0100 on, in order.
 */
export function byteCharacters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const visible = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    return String.fromCharCode(visible ? byte : next++);
  });
}

interface Word {
  symbols: string[];
  readonly count: number;
}

/**
 * Learns merges from a text. Ties go to the pair that sorts first, so the same text gives the same tokenizer.
 * @param size number of ids, special tokens and bytes included.
 * @throws RangeError when the text has too few pairs for that many tokens.
 */
export function trainBytePairs(text: string, size: number, special: readonly string[]): BytePairEncoding {
  const words = countWords(text);
  const bytes = byteCharacters().sort();
  const vocabulary = new Map([...special, ...bytes].map((token, id) => [token, id]));
  const merges: [string, string][] = [];
  while (vocabulary.size < size) {
    const pair = mostFrequentPair(words);
    if (pair === null)
      throw new RangeError(`the text has pairs for ${vocabulary.size} tokens, not for ${size}`);
    merges.push(pair);
    vocabulary.set(pair[0] + pair[1], vocabulary.size);
    for (const word of words) word.symbols = mergePair(word.symbols, pair);
  }
  return { vocabulary, merges };
}

function countWords(text: string): Word[] {
  const counts = new Map<string, number>();
  for (const word of text.match(WORD) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
  const characters = byteCharacters();
  const encoder = new TextEncoder();
  return [...counts].map(([word, count]) => ({
    symbols: Array.from(encoder.encode(word), (byte) => characters[byte]!),
    count,
  }));
}

function mostFrequentPair(words: readonly Word[]): [string, string] | null {
  const counts = new Map<string, number>();
  for (const { symbols, count } of words) {
    for (let i = 0; i + 1 < symbols.length; i++) {
      // No token holds a space (its character is Ġ), so a space separates the two.
      const pair = `${symbols[i]} ${symbols[i + 1]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + count);
    }
  }
  let best: string | null = null;
  let most = 1;
  for (const [pair, count] of counts) {
    if (count > most || (count === most && best !== null && pair < best)) {
      best = pair;
      most = count;
    }
  }
  return best === null ? null : (best.split(' ') as [string, string]);
}

function mergePair(symbols: string[], [left, right]: readonly [string, string]): string[] {
  const merged: string[] = [];
  for (let i = 0; i < symbols.length; i++) {
    const together = symbols[i] === left && symbols[i + 1] === right;
    merged.push(together ? left + right : symbols[i]!);
    if (together) i += 1;
  }
  return merged;
}
