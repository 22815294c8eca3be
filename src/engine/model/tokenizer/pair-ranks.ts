/** Ranks by pairs of ids in flat arrays: a Map of as many numbers takes several times as long to fill. */
export class PairRanks {
  readonly #lefts: Uint32Array;
  readonly #rights: Uint32Array;
  /** 1 more than the rank; 0 where nothing stands. */
  readonly #ranks: Uint32Array;
  readonly #mask: number;

  /** @param count pairs that are set at most. */
  constructor(count: number) {
    // At most half of the places are taken, so that a free one is near.
    const places = 2 ** Math.ceil(Math.log2(2 * count + 2));
    this.#mask = places - 1;
    this.#lefts = new Uint32Array(places);
    this.#rights = new Uint32Array(places);
    this.#ranks = new Uint32Array(places);
  }

  /** A pair that is set again has its last rank. @param left and right are ids of 32 bits. */
  set(left: number, right: number, rank: number): void {
    const place = this.#placeOf(left, right);
    this.#lefts[place] = left;
    this.#rights[place] = right;
    this.#ranks[place] = rank + 1;
  }

  get(left: number, right: number): number | undefined {
    const found = this.#ranks[this.#placeOf(left, right)]!;
    return found === 0 ? undefined : found - 1;
  }

  /** Where the pair stands, or would stand. */
  #placeOf(left: number, right: number): number {
    const mixed = Math.imul(Math.imul(left, 0x9e3779b1) ^ right, 0x85ebca6b);
    let place = (mixed ^ (mixed >>> 15)) & this.#mask;
    while (this.#ranks[place] !== 0 && (this.#lefts[place] !== left || this.#rights[place] !== right))
      place = (place + 1) & this.#mask;
    return place;
  }
}
