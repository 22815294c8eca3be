/** How likely a network finds a text that another one wrote, and how far its distributions are from the writer's. */
import type { TextJudgement, TokenJudgement } from '../../protocol/comparison.ts';
import { expectFinite, prefill, readNext } from './continue-text.ts';
import { readerOf, type WritingNetwork } from './decoder.ts';
import { logPartition, logProbability } from './token-choice.ts';

/** A text with the logits [V] that its writer chose each token by. */
export interface GivenText {
  readonly prompt: Int32Array;
  readonly ids: readonly number[];
  readonly logits: readonly Float32Array[];
}

/**
 * Reads a text token by token, as it would have written it: each token is judged behind all before it.
 * @throws UserError `generate/not-finite`.
 */
export async function* judgeText(
  network: WritingNetwork,
  { prompt, ids, logits: written }: GivenText,
  signal?: AbortSignal,
): AsyncGenerator<TokenJudgement> {
  const decoder = readerOf(network, 1, prompt.length + ids.length);
  try {
    let logits = await prefill(decoder, prompt, signal);
    for (const [place, id] of ids.entries()) {
      if (place > 0) logits = await readNext(decoder, ids[place - 1]!, signal);
      expectFinite(logits, place);
      const partition = decoder.partition ?? logPartition(logits);
      yield {
        logProbability: logProbability(logits, id, partition),
        divergence: divergence(written[place]!, logits, partition),
      };
    }
  } finally {
    decoder.rewind();
  }
}

/**
 * KL(P ‖ Q) = Σ p (log p − log q) in nats (Kullback and Leibler, 1951, eq. 2.6), summed in float64. Rounding alone could
 * bring it below 0.
 * @param p logits [V] of P. @param q logits [V] of Q. All are finite.
 * @param partitionQ log Σ exp of q, where it is known.
 */
export function divergence(p: Float32Array, q: Float32Array, partitionQ = logPartition(q)): number {
  const partitionP = logPartition(p);
  let sum = 0;
  for (let id = 0; id < p.length; id++) {
    const logP = p[id]! - partitionP;
    sum += Math.exp(logP) * (logP - (q[id]! - partitionQ));
  }
  return Math.max(0, sum);
}

/** Means over a text. @param written log-probabilities of its tokens by its writer. @returns null of no tokens. */
export function summarize(
  judged: readonly TokenJudgement[],
  written: readonly number[],
): TextJudgement | null {
  const tokens = judged.length;
  if (tokens === 0) return null;
  const mean = (number: (token: TokenJudgement, place: number) => number): number =>
    judged.reduce((sum, token, place) => sum + number(token, place), 0) / tokens;
  return {
    tokens,
    perplexity: Math.exp(-mean(({ logProbability: own }) => own)),
    meanDifference: mean(({ logProbability: own }, place) => own - written[place]!),
    meanDivergence: mean((token) => token.divergence),
  };
}
