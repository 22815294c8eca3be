import type { Rng } from '../rotation/random.ts';

/** The most likely token; the first of equal ones. */
export function mostLikely(logits: Float32Array): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  return best;
}

/**
 * Draws a token by its probability among the `count` most likely ones, at temperature 1. Of equal logits at the border
 * the lower ids are in.
 */
export function drawAmongLikely(logits: Float32Array, count: number, rng: Rng): number {
  const ids = mostLikelyOnes(logits, count);
  const top = logits[ids[0] ?? 0]!;
  const weights = ids.map((id) => Math.exp(logits[id]! - top));
  let left = rng.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
  for (const [index, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return ids[index]!;
  }
  return ids.at(-1) ?? 0;
}

/** The ids of the largest logits, from the largest down. The ids of a large vocabulary are hardly ever moved. */
function mostLikelyOnes(logits: Float32Array, count: number): number[] {
  const ids: number[] = [];
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (ids.length === count && logit <= logits[ids[count - 1]!]!) continue;
    let place = Math.min(ids.length, count - 1);
    for (; place > 0 && logits[ids[place - 1]!]! < logit; place--) ids[place] = ids[place - 1]!;
    ids[place] = id;
  }
  return ids;
}
