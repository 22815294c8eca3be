import type { Rng } from '../rotation/random.ts';
import { draw, mostLikely } from './draw.ts';

/**
 * How the next token is chosen. The rules are applied in the order in which transformers applies them: repetition
 * penalty, temperature, top-k, top-p, min-p.
 */
export interface TokenChoice {
  /** Tokens that the text has already become less likely: a positive logit is divided by it, another multiplied; 1 is off. */
  readonly repetitionPenalty: number;
  /** Logits are divided by it; 0 takes the most likely token. */
  readonly temperature: number;
  /** Tokens with at least the k-th largest logit are kept (Fan et al., 2018, §5.4); 0 is off. */
  readonly topK: number;
  /** The fewest most likely tokens with so much probability are kept (Holtzman et al., 2020, §3.1); 1 is off. */
  readonly topP: number;
  /** Tokens with so much of the largest probability are kept (Nguyen et al., 2024, §3); 0 is off. */
  readonly minP: number;
}

export const MOST_LIKELY: TokenChoice = {
  repetitionPenalty: 1,
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
};

/** Tokens of which one is drawn, by id, and their weights: probabilities up to a common factor. */
export interface Candidates {
  readonly ids: readonly number[];
  readonly weights: readonly number[];
}

/**
 * Chooses a token. Of equal logits the lower id counts as the larger. The most likely one is taken without a draw.
 * @param logits [V], all finite.
 * @param before tokens that the text has.
 */
export function chooseToken(
  logits: Float32Array,
  before: ReadonlySet<number>,
  choice: TokenChoice,
  rng: Rng,
): number {
  const { repetitionPenalty } = choice;
  if (choice.temperature === 0)
    return mostLikely(repetitionPenalty === 1 ? logits : penalized(logits, before, repetitionPenalty));
  const { ids, weights } = candidates(logits, before, choice);
  return draw(ids, weights, rng);
}

/** The tokens that the rules leave, for a temperature above 0. */
export function candidates(
  logits: Float32Array,
  before: ReadonlySet<number>,
  { repetitionPenalty, temperature, topK, topP, minP }: TokenChoice,
): Candidates {
  const scores = penalized(logits, before, repetitionPenalty);
  const top = scores[mostLikely(scores)]!;
  const weights = scores.map((score) => Math.exp((score - top) / temperature));
  const isCut = topP < 1 || (topK > 0 && topK < weights.length);
  // Numbers are sorted many times as fast as ids by their numbers.
  const descending = isCut ? weights.toSorted().reverse() : weights;
  const kth = topK > 0 && topK < weights.length ? descending[topK - 1]! : 0;
  const last = topP < 1 ? nucleus(descending, kth, topP) : { weight: 0, ties: Number.POSITIVE_INFINITY };
  const least = Math.max(kth, last.weight, minP, Number.MIN_VALUE);
  const kept: { ids: number[]; weights: number[] } = { ids: [], weights: [] };
  let ties = 0;
  for (let id = 0; id < weights.length; id++) {
    const weight = weights[id]!;
    if (weight < least || (weight === last.weight && ++ties > last.ties)) continue;
    kept.ids.push(id);
    kept.weights.push(weight);
  }
  return kept;
}

/**
 * The smallest weight of the fewest largest ones that have a share `topP` of all from `kth` up, and how many of those
 * that equal it belong to them.
 */
function nucleus(descending: Float64Array, kth: number, topP: number): { weight: number; ties: number } {
  let count = descending.length;
  while (count > 1 && descending[count - 1]! < kth) count--;
  let sum = 0;
  for (let i = 0; i < count; i++) sum += descending[i]!;
  let [mass, place] = [descending[0]!, 0];
  while (place + 1 < count && mass < topP * sum) mass += descending[++place]!;
  const weight = descending[place]!;
  return { weight, ties: place - descending.indexOf(weight) + 1 };
}

function penalized(logits: Float32Array, before: ReadonlySet<number>, penalty: number): Float64Array {
  // From an array of another type, the constructor copies numbers many times as fast as `from`.
  const scores = new Float64Array(logits);
  if (penalty === 1) return scores;
  for (const id of before) {
    const score = scores[id]!;
    scores[id] = score > 0 ? score / penalty : score * penalty;
  }
  return scores;
}

/** Logarithm of the probability of a token by softmax, in nats, before any rule. @param partition where it is known. */
export function logProbability(logits: Float32Array, id: number, partition = logPartition(logits)): number {
  return logits[id]! - partition;
}

/** log Σ exp of finite logits. */
export function logPartition(logits: Float32Array): number {
  let top = Number.NEGATIVE_INFINITY;
  // These loops run for every token, over the vocabulary: with indices they take half the time.
  for (let id = 0; id < logits.length; id++) if (logits[id]! > top) top = logits[id]!;
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += Math.exp(logits[id]! - top);
  return top + Math.log(sum);
}

/** Σ −log p of tokens, in nats. @param logits [n, V], each row of the token before one of the n `next`. */
export function lossSum(logits: Float32Array, next: Int32Array): number {
  const width = logits.length / next.length;
  let sum = 0;
  for (const [row, id] of next.entries()) {
    const scores = logits.subarray(row * width, (row + 1) * width);
    sum -= logProbability(scores, id);
  }
  return sum;
}
