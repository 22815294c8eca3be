import type { Ranks } from '../distributed/ranks.ts';
import type { Seam } from '../network/seams.ts';
import type { Rng } from '../rotation/random.ts';

/** Memory for captured rows of one group of rotations. */
const RESERVOIR_BYTES = 256 * 2 ** 20;
/** More rows than this no longer change what is learned. Maps of a layer's heads share them. */
export const RESERVOIR_ROWS = 32_768;

/** Rows that a map is learned on, shuffled, each site scaled to RMS 1. */
export interface CapturedRows {
  /** Elements of a row: the width of the map. */
  readonly width: number;
  readonly count: number;
  readonly rows: Float32Array;
}

/** Samples of what each map of a seam is to be learned on, in the order of a state. */
export class MapReservoirs {
  readonly #width: number;
  readonly #groups: number;
  readonly #each: readonly Reservoir[];

  /**
   * @param groups maps of a layer: 1, or one for each key/value head.
   * @param expectedRows of the network for one map, of a layer where layers have maps of their own.
   */
  constructor(seam: Seam, groups: number, expectedRows: number, rng: Rng) {
    const { symbol, perLayer, count, width } = seam;
    this.#width = width;
    this.#groups = groups;
    // Streams are named as the matrices are, so that the sample stays the same from version to version.
    const nameOf = (index: number): string => {
      if (!perLayer) return symbol.toLowerCase();
      const place = groups === 1 ? [index] : [Math.floor(index / groups), index % groups];
      return [symbol.toLowerCase(), ...place].join('.');
    };
    this.#each = Array.from(
      { length: count * groups },
      (_, index) =>
        new Reservoir(
          width,
          expectedRows / groups,
          Math.floor(RESERVOIR_ROWS / groups),
          rng.split(nameOf(index)),
        ),
    );
  }

  /**
   * Adds one site's rows of one sequence, [T, rowsOfToken · width]: those of a group of heads to its map.
   * @param times how often the row of each token stands in the stream; empty for once.
   */
  add(layer: number, values: Float32Array, rowsOfToken: number, times: readonly number[]): void {
    const groups = this.#groups;
    const own = (rowsOfToken / groups) * this.#width;
    for (let group = 0; group < groups; group++)
      this.#at(layer, group).add(channels(values, groups * own, group * own, own), times);
  }

  /** Rows of a layer that another rank adds. */
  skip(layer: number, rows: number): void {
    const groups = this.#groups;
    for (let group = 0; group < groups; group++) this.#at(layer, group).skip(rows / groups);
  }

  /** Puts the rows of all ranks together. */
  async sumOver(ranks: Ranks): Promise<void> {
    for (const one of this.#each) await one.sumOver(ranks);
  }

  results(): CapturedRows[] {
    return this.#each.map((one) => one.result());
  }

  #at(layer: number, group: number): Reservoir {
    return this.#each.length === 1 ? this.#each[0]! : this.#each[layer * this.#groups + group]!;
  }
}

/** `count` channels from `first` on of rows of `width` channels. */
function channels(values: Float32Array, width: number, first: number, count: number): Float32Array {
  if (count === width) return values;
  const tokens = values.length / width;
  const own = new Float32Array(tokens * count);
  for (let token = 0; token < tokens; token++) {
    const from = token * width + first;
    own.set(values.subarray(from, from + count), token * count);
  }
  return own;
}

/** A uniform sample of rows of a stream of known length, in shuffled order. */
class Reservoir {
  readonly #width: number;
  readonly #capacity: number;
  readonly #rng: Rng;
  readonly #rows: Float32Array;
  #seen = 0;

  constructor(width: number, expectedRows: number, mostRows: number, rng: Rng) {
    const affordable = Math.floor(RESERVOIR_BYTES / (width * Float32Array.BYTES_PER_ELEMENT));
    this.#width = width;
    this.#capacity = Math.min(expectedRows, affordable, mostRows);
    this.#rng = rng;
    this.#rows = new Float32Array(this.#capacity * width);
  }

  /**
   * Adds one site's rows of one sequence, scaled to RMS 1 over all of them.
   * @param times how often each row stands in the stream; once where absent.
   */
  add(values: Float32Array, times: readonly number[]): void {
    const width = this.#width;
    let square = 0;
    for (let i = 0; i < values.length; i++) square += values[i]! * values[i]!;
    const factor = square > 0 ? Math.sqrt(values.length / square) : 1;
    for (let row = 0; row < values.length / width; row++) {
      for (let time = 0; time < (times[row] ?? 1); time++) {
        const place = this.#place();
        if (place === null) continue;
        for (let i = 0; i < width; i++) this.#rows[place * width + i] = values[row * width + i]! * factor;
      }
    }
  }

  /** Rows that another rank adds. */
  skip(rows: number): void {
    const width = this.#width;
    for (let row = 0; row < rows; row++) {
      const place = this.#place();
      if (place !== null) this.#rows.fill(0, place * width, (place + 1) * width);
    }
  }

  /** Puts the rows of all ranks together: each place is zero on all ranks but one. */
  sumOver(ranks: Ranks): Promise<void> {
    return ranks.sum(this.#rows);
  }

  /** Place of the next row, or null, by Vitter's algorithm R. */
  #place(): number | null {
    const index = this.#seen++;
    if (index < this.#capacity) return index;
    const draw = this.#rng.integer(index + 1);
    return draw < this.#capacity ? draw : null;
  }

  result(): CapturedRows {
    const [width, rows, count] = [this.#width, this.#rows, Math.min(this.#seen, this.#capacity)];
    const kept = new Float32Array(width);
    for (let i = count - 1; i > 0; i--) {
      const j = this.#rng.integer(i + 1);
      kept.set(rows.subarray(i * width, (i + 1) * width));
      rows.copyWithin(i * width, j * width, (j + 1) * width);
      rows.set(kept, j * width);
    }
    return { width, count, rows: rows.subarray(0, count * width) };
  }
}
