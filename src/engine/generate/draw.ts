import type { Rng } from '../rotation/random.ts';

/** The id of the largest score; of equal ones the lowest. */
export function mostLikely(scores: Float32Array | Float64Array): number {
  let [best, top] = [0, scores[0]!];
  for (let id = 1; id < scores.length; id++) {
    const score = scores[id]!;
    if (score > top) [best, top] = [id, score];
  }
  return best;
}

/** Draws one of the ids by their weights, probabilities up to a common factor. */
export function draw(ids: ArrayLike<number>, weights: ArrayLike<number>, rng: Rng): number {
  let sum = 0;
  for (let i = 0; i < weights.length; i++) sum += weights[i]!;
  let left = rng.uniform() * sum;
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!;
    if (left < 0) return ids[i]!;
  }
  // Sums round: what is left may stay at 0.
  return ids[ids.length - 1]!;
}
