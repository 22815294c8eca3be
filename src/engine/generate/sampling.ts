import type { Rng } from '../rotation/random.ts';
import { draw, mostLikely } from './draw.ts';

/** How the next token is chosen. */
export interface Sampling {
  /** Logits are divided by it; 0 takes the most likely token. */
  readonly temperature: number;
  /** The draw is among so many of the most likely tokens. */
  readonly among: number;
}

export const GREEDY: Sampling = { temperature: 0, among: 1 };

/** Chooses a token by its logits [V]. Of equal logits the lower ids come first. The greedy choice draws nothing. */
export function sample(logits: Float32Array, { temperature, among }: Sampling, rng: Rng): number {
  if (temperature === 0) return mostLikely(logits);
  const ids = mostLikelyOnes(logits, among);
  const top = logits[ids[0] ?? 0]!;
  const weights = new Float64Array(ids.length);
  for (let i = 0; i < ids.length; i++) weights[i] = Math.exp((logits[ids[i]!]! - top) / temperature);
  return draw(ids, weights, rng);
}

/** The ids of the largest logits, from the largest down. The ids of a large vocabulary are hardly ever moved. */
function mostLikelyOnes(logits: Float32Array, among: number): Int32Array {
  const count = Math.min(among, logits.length);
  const ids = new Int32Array(count);
  // Beside the ids lie their logits: looking them up again takes most of the time in a small vocabulary.
  const largest = new Float32Array(count).fill(Number.NEGATIVE_INFINITY);
  let [found, border] = [0, Number.NEGATIVE_INFINITY];
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (found === count && !(logit > border)) continue;
    let place = found < count ? found++ : count - 1;
    for (; place > 0 && largest[place - 1]! < logit; place--) {
      largest[place] = largest[place - 1]!;
      ids[place] = ids[place - 1]!;
    }
    largest[place] = logit;
    ids[place] = id;
    border = largest[count - 1]!;
  }
  return ids;
}
