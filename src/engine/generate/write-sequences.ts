import { throwIfCancelled } from '../../protocol/errors.ts';
import type { Network } from '../network/network.ts';
import { Rng } from '../rotation/random.ts';
import { Decoder } from './decoder.ts';
import { GREEDY, type Sampling, sample } from './sampling.ts';

/** How a network writes text. */
export interface WritingOptions {
  /** Decides the order of first tokens and every draw. */
  readonly seed: number;
  /** Tokens of a sequence that does not end by itself. */
  readonly sequenceLength: number;
  /** The token that ends a sequence; null where the model has none. */
  readonly endOfSequence: number | null;
}

/** After the tokens that are taken greedily, each is drawn among so many (LLM-QAT, section 3.1; the usual top-k). */
const DRAWN: Sampling = { temperature: 1, among: 50 };
/** Total lengths up to which tokens are taken greedily, in turn. */
const GREEDY_LENGTHS = [3, 4, 5] as const;

/** The first token of a sequence, and its length up to which the most likely token follows. */
export interface Beginning {
  readonly first: number;
  readonly greedyLength: number;
}

/**
 * Beginnings by number: every token of the vocabulary with every greedy length, each pair once before any comes again.
 * The order of tokens is drawn from the seed.
 */
export function beginnings(vocabulary: number, seed: number): (index: number) => Beginning {
  const order = Int32Array.from({ length: vocabulary }, (_, id) => id);
  const rng = new Rng(seed).split('first tokens');
  for (let last = vocabulary - 1; last > 0; last--) {
    const other = rng.integer(last + 1);
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return (index) => {
    const place = index % vocabulary;
    const turn = (place + Math.floor(index / vocabulary)) % GREEDY_LENGTHS.length;
    return { first: order[place]!, greedyLength: GREEDY_LENGTHS[turn]! };
  };
}

interface Writing {
  readonly ids: number[];
  readonly greedyLength: number;
  readonly rng: Rng;
  ended: boolean;
}

/**
 * Lets the full-precision network write the sequences `from` … `from + count − 1`. Each depends on the seed and on its
 * number, not on the others beside it, but for the last bits of its logits.
 * @returns yields the tokens of all sequences so far.
 */
export async function* writeSequences(
  network: Network,
  { seed, sequenceLength, endOfSequence }: WritingOptions,
  { from, count }: { readonly from: number; readonly count: number },
  signal?: AbortSignal,
): AsyncGenerator<number, Int32Array[]> {
  const beginningOf = beginnings(network.checkpoint.config.vocabSize, seed);
  const draws = new Rng(seed).split('draws');
  const writings = Array.from({ length: count }, (_, place): Writing => {
    const { first, greedyLength } = beginningOf(from + place);
    return { ids: [first], greedyLength, rng: draws.split(from + place), ended: false };
  });
  const decoder = new Decoder(network, count, sequenceLength);
  for (let length = 1; length < sequenceLength && !writings.every(({ ended }) => ended); length++) {
    throwIfCancelled(signal);
    const last = Int32Array.from(writings, ({ ids }) => ids.at(-1) ?? 0);
    const { data } = await decoder.next(last, signal);
    const width = data.length / count;
    for (const [row, writing] of writings.entries()) {
      if (writing.ended) continue;
      const logits = data.subarray(row * width, (row + 1) * width);
      const id = sample(logits, length < writing.greedyLength ? GREEDY : DRAWN, writing.rng);
      writing.ids.push(id);
      writing.ended = id === endOfSequence;
    }
    yield writings.reduce((sum, { ids }) => sum + ids.length, 0);
  }
  return writings.map(({ ids }) => Int32Array.from(ids));
}
