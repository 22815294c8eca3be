/** SentencePiece's compiled normalization: a double-array trie over UTF-8, and the replacements as UTF-8. */

export type Charsmap = (text: string) => string;

/** Longer grapheme clusters are looked up character by character, as the library in Rust does; in bytes. */
const MAX_CLUSTER_BYTES = 6;

/**
 * Reads `precompiled_charsmap`. Layout: uint32 size of the trie in bytes, its uint32 units, then the replacements,
 * each ended by a zero byte (all little-endian).
 * @throws Error when the bytes are not of this layout.
 */
export function parseCharsmap(base64: string): Charsmap {
  const bytes = Buffer.from(base64, 'base64');
  const trieBytes = bytes.length < 4 ? -1 : bytes.readUInt32LE(0);
  if (trieBytes < 4 || trieBytes % 4 !== 0 || 4 + trieBytes > bytes.length)
    throw new Error('precompiled_charsmap is damaged');
  const units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => bytes.readUInt32LE(4 + 4 * i));
  const texts = bytes.subarray(4 + trieBytes);
  const replaced = new Map<string, string | null>();
  const lookUp = (chunk: string): string | null => {
    let found = replaced.get(chunk);
    if (found === undefined) {
      const at = firstValue(units, Buffer.from(chunk));
      found = at === null ? null : texts.toString('utf8', at, texts.indexOf(0, at));
      replaced.set(chunk, found);
    }
    return found;
  };
  return (text) => normalize(text, lookUp);
}

const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' });

function normalize(text: string, lookUp: (chunk: string) => string | null): string {
  let normalized = '';
  for (const { segment } of segmenter.segment(text)) {
    const whole = Buffer.byteLength(segment) < MAX_CLUSTER_BYTES ? lookUp(segment) : null;
    if (whole !== null) normalized += whole;
    else for (const character of segment) normalized += lookUp(character) ?? character;
  }
  return normalized;
}

/** Returns the value of the shortest key that starts the bytes. Units are as in darts-clone. */
function firstValue(units: Uint32Array, key: Uint8Array): number | null {
  let node = 0;
  let unit = units[0]!;
  node ^= offsetOf(unit);
  for (const byte of key) {
    if (byte === 0) return null;
    node ^= byte;
    const next = units[node];
    if (next === undefined || (next & 0x800000ff) !== byte) return null;
    unit = next;
    node ^= offsetOf(unit);
    const value = units[node];
    if ((unit & 0x100) !== 0) return value === undefined ? null : value & 0x7fffffff;
  }
  return null;
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
