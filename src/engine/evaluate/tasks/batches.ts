/** Sequences of different lengths in few shapes: each shape is a program to compile. */

export interface Batch {
  /** Places of its sequences, the longest first. */
  readonly members: readonly number[];
  /** Rows, of which those behind the members are filled up. */
  readonly rows: number;
  /** Tokens of each row; shorter sequences are filled up at their end, where no position looks. */
  readonly length: number;
}

/** Lengths up to this are rounded up to multiples of an eighth of it. */
const SHORT = 64;

/** Rounds up to one of four lengths between two powers of two: at most a quarter is added. */
export function roundedLength(length: number): number {
  const step = length <= SHORT ? SHORT / 8 : 2 ** (Math.ceil(Math.log2(length)) - 3);
  return Math.ceil(length / step) * step;
}

/**
 * Cuts sequences into batches, the longest first, so that what does not fit into memory fails at once. A batch has the
 * length of its longest one and as many rows as its tokens allow; the last one has a power of two.
 * @param tokensAtOnce at most so many, but for a sequence that is longer alone.
 * @param positions of the model: lengths are not rounded beyond.
 */
export function batchesOf(
  lengths: readonly number[],
  tokensAtOnce: number,
  positions: number,
): readonly Batch[] {
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const batches: Batch[] = [];
  for (let start = 0; start < order.length; ) {
    const longest = lengths[order[start]!]!;
    const length = Math.max(longest, Math.min(roundedLength(longest), positions));
    const most = Math.max(1, Math.floor(tokensAtOnce / length));
    const members = order.slice(start, start + most);
    const rows = Math.min(most, 2 ** Math.ceil(Math.log2(members.length)));
    batches.push({ members, rows, length });
    start += members.length;
  }
  return batches;
}
