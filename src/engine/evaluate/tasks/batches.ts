/** Sequences of different lengths in few shapes: each shape is a program to compile. */

export interface Batch {
  /** Places of its sequences, those of a family side by side. */
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
 * Cuts families of sequences into batches, the longest first, so that what does not fit into memory fails at once. A batch
 * has the length of its longest sequence and as many rows as its tokens allow, or a power of two where it has few members.
 * A family stays together, unless it alone is too large for a batch.
 * @param families places of sequences that begin alike.
 * @param lengths of the sequences by their places.
 * @param tokensAtOnce at most so many, but for a sequence that is longer alone.
 * @param positions of the model: lengths are not rounded beyond.
 */
export function batchesOf(
  families: readonly (readonly number[])[],
  lengths: readonly number[],
  tokensAtOnce: number,
  positions: number,
): readonly Batch[] {
  const longest = (family: readonly number[]) =>
    family.reduce((most, one) => Math.max(most, lengths[one]!), 0);
  const order = [...families].sort((a, b) => longest(b) - longest(a));
  const batches: Batch[] = [];
  for (let next = 0; next < order.length; ) {
    const first = longest(order[next]!);
    const length = Math.max(first, Math.min(roundedLength(first), positions));
    const most = Math.max(1, Math.floor(tokensAtOnce / length));
    const members = [...order[next++]!];
    while (next < order.length && members.length + order[next]!.length <= most)
      members.push(...order[next++]!);
    for (let start = 0; start < members.length; start += most) {
      const some = members.slice(start, start + most);
      batches.push({ members: some, rows: Math.min(most, 2 ** Math.ceil(Math.log2(some.length))), length });
    }
  }
  return batches;
}
