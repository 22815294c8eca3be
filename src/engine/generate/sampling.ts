import type { Rng } from '../rotation/random.ts';

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
  const weights = ids.map((id) => Math.exp((logits[id]! - top) / temperature));
  let left = rng.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
  for (const [index, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return ids[index]!;
  }
  return ids.at(-1) ?? 0;
}

function mostLikely(logits: Float32Array): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  return best;
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
