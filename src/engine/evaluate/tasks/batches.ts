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
 * A family stays together, unless it alone is too large for a batch or lies on both sides of a limit.
 * @param families places of sequences that begin alike.
 * @param lengths of the sequences by their places.
 * @param tokensAtOnce at most so many, but for a sequence that is longer alone.
 * @param limits lengths, the shortest first, that no batch has sequences on both sides of; the last are the model's
 * positions. Lengths are not rounded beyond.
 */
export function batchesOf(
  families: readonly (readonly number[])[],
  lengths: readonly number[],
  tokensAtOnce: number,
  limits: readonly number[],
): readonly Batch[] {
  const longestFirst = [...limits].reverse();
  return longestFirst.flatMap((limit, i) => {
    const below = longestFirst[i + 1] ?? 0;
    const above = longestFirst[i - 1] === undefined ? Number.POSITIVE_INFINITY : limit;
    const within = (one: number) => lengths[one]! > below && lengths[one]! <= above;
    const some = families.map((family) => family.filter(within)).filter((family) => family.length > 0);
    return batchesBelow(some, lengths, tokensAtOnce, limit);
  });
}

function batchesBelow(
  families: readonly (readonly number[])[],
  lengths: readonly number[],
  tokensAtOnce: number,
  limit: number,
): readonly Batch[] {
  const longest = (some: readonly number[]) => some.reduce((most, one) => Math.max(most, lengths[one]!), 0);
  const rounded = (length: number) => Math.max(length, Math.min(roundedLength(length), limit));
  const order = [...families].sort((a, b) => longest(b) - longest(a));
  const batches: Batch[] = [];
  for (let next = 0; next < order.length; ) {
    const most = Math.max(1, Math.floor(tokensAtOnce / rounded(longest(order[next]!))));
    const members = [...order[next++]!];
    while (next < order.length && members.length + order[next]!.length <= most)
      members.push(...order[next++]!);
    for (let start = 0; start < members.length; start += most) {
      const some = members.slice(start, start + most);
      const rows = Math.min(most, 2 ** Math.ceil(Math.log2(some.length)));
      batches.push({ members: some, rows, length: rounded(longest(some)) });
    }
  }
  return batches;
}
