/** Bins of a histogram; a power of two so that pairs merge when the axis doubles. */
export const BINS = 128;

/** The end of the axis of nothing but zeros. */
const SMALLEST_LIMIT = 2 ** -100;

/** The least power of two above `largest`: a value there is inside of the axis −limit … limit. */
export function axisLimit(largest: number): number {
  if (largest === Number.POSITIVE_INFINITY) return largest;
  let limit = 2 ** Math.floor(Math.log2(Math.max(largest, SMALLEST_LIMIT)));
  while (limit <= largest) limit *= 2;
  return limit;
}

/** Counts in {@link BINS} equally wide bins from −limit to limit, a power of two that grows as it must. */
export class Histogram {
  #limit = 0;
  #counts: Float64Array = new Float64Array(BINS);

  get limit(): number {
    return this.#limit;
  }

  /** Values counted so far. */
  get total(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** @param counts on the axis −limit … limit, a power of two. */
  add(limit: number, counts: ArrayLike<number>): void {
    if (this.#limit < limit) {
      this.#counts = this.on(limit);
      this.#limit = limit;
    }
    addOnAxis(this.#counts, this.#limit, counts, limit);
  }

  /** The counts on an axis that is at least as long. */
  on(limit: number): Float64Array {
    const wider = new Float64Array(BINS);
    if (this.#limit > 0) addOnAxis(wider, limit, this.#counts, this.#limit);
    return wider;
  }
}

/** Bins of an axis that is 2ᵏ times as long hold 2ᵏ of the shorter one's each, counted from zero in the middle. */
function addOnAxis(sum: Float64Array, limit: number, counts: ArrayLike<number>, shorterLimit: number): void {
  const ratio = limit / shorterLimit;
  for (let bin = 0; bin < BINS; bin++) {
    const target = Math.floor((bin - BINS / 2) / ratio) + BINS / 2;
    sum[target] = sum[target]! + counts[bin]!;
  }
}
