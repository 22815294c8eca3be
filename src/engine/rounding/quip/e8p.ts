/**
 * The codebooks of QuIP# (Tseng et al. 2024, section 4): E8P at two bits, and a book of one bit for residuals. All
 * arithmetic is that of float32, operation by operation, so that the native operator finds the same points.
 */

/** Numbers of a block, which share a code. */
export const BLOCK = 8;

/**
 * The coordinates of ½ in the 29 patterns of norm² 12 that have five 3/2. Of the 56 there are, listed by their
 * coordinates in lexicographic order, these are every other one and the last. The authors list 29 others, so that codes
 * are not theirs; any 29 serve.
 */
export const TRIPLES: readonly (readonly [number, number, number])[] = triples().filter(
  (_, place) => place % 2 === 0 || place === 55,
);

function triples(): [number, number, number][] {
  const found: [number, number, number][] = [];
  for (let a = 0; a < BLOCK; a++)
    for (let b = a + 1; b < BLOCK; b++) for (let c = b + 1; c < BLOCK; c++) found.push([a, b, c]);
  return found;
}

/** The other coordinates of each triple. */
const RESTS = TRIPLES.map((triple) =>
  Array.from({ length: BLOCK }, (_, i) => i).filter((i) => !triple.includes(i)),
);

/** A point has its shift: E8P is the union of signed patterns moved by ¼ up, and by ¼ down. */
export const SHIFT = 0.25;

const f = Math.fround;

/** What all searches need of a vector: magnitudes, their order and sums. */
class Magnitudes {
  readonly a = new Float32Array(BLOCK);
  readonly isNegative = new Uint8Array(BLOCK);
  /** Place of each magnitude from the largest, 0, down; of equal ones the first coordinate comes first. */
  readonly rank = new Uint8Array(BLOCK);
  /** Sums of the k largest, added in the order of coordinates; k = 0 … 4. */
  readonly top = new Float32Array(5);
  total = 0;
  least = 0;
  isOdd = false;

  set(y: Float32Array): void {
    const { a, isNegative, rank, top } = this;
    rank.fill(0);
    top.fill(0);
    [this.total, this.least, this.isOdd] = [0, Infinity, false];
    for (let i = 0; i < BLOCK; i++) {
      a[i] = Math.abs(y[i]!);
      isNegative[i] = y[i]! < 0 ? 1 : 0;
      if (isNegative[i]) this.isOdd = !this.isOdd;
      this.total = f(this.total + a[i]!);
      this.least = Math.min(this.least, a[i]!);
      for (let j = 0; j < i; j++) rank[a[i]! > a[j]! ? j : i]!++;
    }
    for (let i = 0; i < BLOCK; i++) for (let k = rank[i]! + 1; k < 5; k++) top[k] = f(top[k]! + a[i]!);
  }
}

const seen = new Magnitudes();
const shifted = new Float32Array(BLOCK);
const signed = new Float32Array(BLOCK);

/**
 * The point of E8P nearest to x [8]: half-integers with an even sum, of norm² up to 10 or among {@link TRIPLES}, moved
 * by ±¼. @param point where it goes.
 */
export function nearestE8P(x: Float32Array, point: Float32Array): void {
  let least = Infinity;
  for (const shift of [SHIFT, -SHIFT]) {
    for (let i = 0; i < BLOCK; i++) shifted[i] = x[i]! - shift;
    nearestPattern();
    let distance = 0;
    for (let i = 0; i < BLOCK; i++) {
      const off = f(shifted[i]! - signed[i]!);
      distance = f(distance + f(off * off));
    }
    // A distance that is not a number takes the first shift, as any does that is not less.
    if (shift < 0 && !(distance < least)) return;
    least = distance;
    for (let i = 0; i < BLOCK; i++) point[i] = signed[i]! + shift;
  }
}

/**
 * The signed pattern nearest to y, by magnitudes a. A pattern p is best with the signs of y; where the sum would be odd
 * then, one sign is turned, where a·p is least. Of patterns of one kind the best has its largest coordinates where a has.
 * Kinds compete by a·p − ‖p‖²/2 − 2 (a·p of the coordinate turned), less a·½ − 1, which all have.
 */
function nearestPattern(): void {
  seen.set(shifted);
  const { a, top, total, least, isOdd } = seen;
  const [even, odd] = isOdd ? [least, 0] : [0, least];
  let [best, ones, twos, triple] = [f(-even), 0, 0, -1];
  const offer = (score: number, threeHalves: number, fiveHalves: number, at = -1): void => {
    if (score > best) [best, ones, twos, triple] = [score, threeHalves, fiveHalves, at];
  };
  offer(f(f(top[1]! - 1) - odd), 1, 0);
  offer(f(f(top[2]! - 2) - even), 2, 0);
  offer(f(f(top[3]! - 3) - odd), 3, 0);
  offer(f(f(top[4]! - 4) - even), 4, 0);
  offer(f(f(f(top[1]! + top[1]!) - 3) - even), 1, 1);
  offer(f(f(f(top[1]! + top[2]!) - 4) - odd), 2, 1);
  for (let at = 0; at < TRIPLES.length; at++) {
    const [i, j, k] = TRIPLES[at]!;
    const score = f(f(total - f(f(a[i]! + a[j]!) + a[k]!)) - 5);
    offer(isOdd ? score : f(score - turnedOf(at)), 0, 0, at);
  }
  for (let i = 0; i < BLOCK; i++) {
    const isRaised = triple < 0 ? seen.rank[i]! < ones : !TRIPLES[triple]!.includes(i);
    signed[i] = 0.5 + (isRaised ? 1 : 0) + (seen.rank[i]! < twos ? 1 : 0);
  }
  const needsOdd = triple >= 0 || (ones + twos) % 2 === 1;
  putSigns(isOdd !== needsOdd);
}

/** What turning a sign of a pattern of five 3/2 costs. */
function turnedOf(at: number): number {
  const leastOf = (places: readonly number[]): number =>
    places.reduce((least, i) => Math.min(least, seen.a[i]!), Infinity);
  return Math.min(leastOf(TRIPLES[at]!), f(3 * leastOf(RESTS[at]!)));
}

/** Gives the pattern its signs: those of y, but for one where the sum is odd with them. */
function putSigns(turnsOne: boolean): void {
  let [cheapest, cost] = [-1, Infinity];
  for (let i = 0; i < BLOCK; i++) {
    const own = f(seen.a[i]! * signed[i]!);
    if (own <= cost) [cheapest, cost] = [i, own];
  }
  for (let i = 0; i < BLOCK; i++) {
    const isTurned = turnsOne && i === cheapest;
    if ((seen.isNegative[i] === 1) !== isTurned) signed[i] = -signed[i]!;
  }
}

/**
 * The point nearest to r [8] of the book of one bit: 0, the 240 shortest vectors of E8 (norm² 2), and of those of norm² 4
 * the 15 that are ±2 in one coordinate, without −2 in the last. @param point where it goes.
 */
export function nearestE8(r: Float32Array, point: Float32Array): void {
  seen.set(r);
  const { a, top, total, least, isOdd } = seen;
  const best: { score: number; kind: E8Kind } = { score: 0, kind: 'zero' };
  const offer = (score: number, kind: E8Kind): void => {
    if (score > best.score) Object.assign(best, { score, kind });
  };
  const longest = longestOf(a, seen.isNegative);
  offer(f(top[2]! - 1), 'pair');
  offer(f(f(f(0.5 * total) - 1) - (isOdd ? least : 0)), 'halves');
  offer(f(f(a[longest]! + a[longest]!) - 2), 'long');
  if (best.kind === 'halves') {
    signed.fill(0.5);
    putSigns(isOdd);
  } else putWhole(best.kind, longest);
  point.set(signed);
}

type E8Kind = 'zero' | 'pair' | 'halves' | 'long';

/** The coordinate that is best for ±2; the last one has no −2. */
function longestOf(a: Float32Array, isNegative: Uint8Array): number {
  let longest = 0;
  for (let i = 1; i < BLOCK; i++) {
    const isMissing = i === BLOCK - 1 && isNegative[i] === 1;
    if (!isMissing && a[i]! > a[longest]!) longest = i;
  }
  return longest;
}

function putWhole(kind: E8Kind, longest: number): void {
  for (let i = 0; i < BLOCK; i++) {
    const size = kind === 'pair' && seen.rank[i]! < 2 ? 1 : kind === 'long' && i === longest ? 2 : 0;
    signed[i] = seen.isNegative[i] === 1 ? -size : size;
  }
}
