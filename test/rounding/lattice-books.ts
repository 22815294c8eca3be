/** The codebooks of QuIP#, listed point by point from their definitions. */

/** Every vector [8] of numbers out of `values`. */
function* words(values: readonly number[]): Generator<number[]> {
  const word = new Array<number>(8).fill(0);
  const count = values.length ** 8;
  for (let index = 0; index < count; index++) {
    let rest = index;
    for (let i = 0; i < 8; i++) {
      word[i] = values[rest % values.length]!;
      rest = Math.floor(rest / values.length);
    }
    yield word;
  }
}

const norm = (word: readonly number[]): number => word.reduce((sum, value) => sum + value * value, 0);
const sum = (word: readonly number[]): number => word.reduce((total, value) => total + value, 0);

/**
 * E8P: every half-integer vector with an even sum whose magnitudes have norm² up to 10, or are five 3/2 with ½ at a
 * triple; moved by ¼ up and by ¼ down. @returns [65536, 8].
 */
export function e8pPoints(triples: readonly (readonly number[])[]): Float64Array {
  const isListed = (word: readonly number[]): boolean =>
    norm(word) <= 10 ||
    triples.some((triple) => word.every((value, i) => value === (triple.includes(i) ? 0.5 : 1.5)));
  const points: number[] = [];
  for (const magnitudes of words([0.5, 1.5, 2.5])) {
    if (norm(magnitudes) > 12 || !isListed(magnitudes)) continue;
    for (const signs of words([1, -1])) {
      const word = magnitudes.map((value, i) => value * signs[i]!);
      if (sum(word) % 2 !== 0) continue;
      for (const shift of [0.25, -0.25]) points.push(...word.map((value) => value + shift));
    }
  }
  return Float64Array.from(points);
}

/** E8 up to norm² 2, and ±2 in one coordinate but for −2 in the last. @returns [256, 8]. */
export function e8Points(): Float64Array {
  const points: number[] = [];
  for (const word of words([0, 1, -1])) if (norm(word) === 0 || norm(word) === 2) points.push(...word);
  for (const word of words([0.5, -0.5])) if (sum(word) % 2 === 0) points.push(...word);
  for (let i = 0; i < 8; i++)
    for (const size of i === 7 ? [2] : [2, -2])
      points.push(...Array.from({ length: 8 }, (_, k) => (k === i ? size : 0)));
  return Float64Array.from(points);
}
