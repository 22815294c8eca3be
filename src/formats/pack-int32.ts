/**
 * Codes of a few bits in words of 32, as compressed-tensors packs them: element i of a row takes the bits i·b … of the
 * row's stream, the lowest bits of a word first, so that a code may lie across two words.
 * @param codes [rows, columns], signed, −2^{b−1} … 2^{b−1} − 1; stored with 2^{b−1} added.
 * @param bits 1 … 8.
 * @returns [rows, ⌈columns·bits/32⌉].
 * @throws RangeError for a code out of range.
 */
export function packRowsInt32(codes: ArrayLike<number>, rows: number, bits: number): Int32Array {
  const columns = codes.length / rows;
  const words = wordsOf(columns, bits);
  const middle = 2 ** (bits - 1);
  const packed = new Int32Array(rows * words);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < columns; i++) {
      const code = codes[row * columns + i]! + middle;
      if (!(code >= 0 && code < 2 * middle))
        throw new RangeError(`${code - middle} is no code of ${bits} bits`);
      const at = i * bits;
      const word = row * words + (at >> 5);
      packed[word]! |= code << (at & 31);
      const over = (at & 31) + bits - 32;
      if (over > 0) packed[word + 1]! |= code >> (bits - over);
    }
  return packed;
}

/** The codes [rows, columns] of {@link packRowsInt32}. */
export function unpackRowsInt32(
  packed: Int32Array,
  [rows, columns]: readonly [number, number],
  bits: number,
): Int8Array {
  const words = wordsOf(columns, bits);
  const middle = 2 ** (bits - 1);
  const codes = new Int8Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < columns; i++) {
      const at = i * bits;
      const word = row * words + (at >> 5);
      let code = packed[word]! >>> (at & 31);
      const over = (at & 31) + bits - 32;
      if (over > 0) code |= packed[word + 1]! << (bits - over);
      codes[row * columns + i] = (code & (2 * middle - 1)) - middle;
    }
  return codes;
}

export const wordsOf = (columns: number, bits: number): number => Math.ceil((columns * bits) / 32);
