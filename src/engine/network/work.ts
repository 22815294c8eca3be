/**
 * What computing with a network asks of a machine, counted from the model's shape. Counts are rough by intention: they
 * tell minutes from hours before anything has run.
 */
import type { ModelConfig } from '../model/config.ts';
import { DEFAULT_MEMORY, layerParameters } from './memory-plan.ts';

/** What a piece of work asks of a machine. */
export interface Work {
  /** Floating-point operations, those of products above all: a multiplication and an addition are two. */
  readonly flops: number;
  /** Bytes that passes over elements read and write. */
  readonly bytes: number;
  /** Runs of compiled programs of few operators. */
  readonly calls: number;
}

/** Work, and the memory that it takes beside the network's own. */
export interface Cost {
  readonly work: Work;
  /** Bytes at once. */
  readonly bytes: number;
}

/** Sequences of one length that pass through a network. */
export interface TextSize {
  readonly sequences: number;
  /** Tokens of a sequence. */
  readonly length: number;
}

const FLOAT = Float32Array.BYTES_PER_ELEMENT;
/** The clip search tries so many ratios; a power of each error takes the time of about so many operations. */
const CLIP_RATIOS = 80;
const OPERATIONS_OF_RATIO = 40;
/** A score is exponentiated, which takes the time of about so many passes over it. */
const PASSES_OVER_SCORES = 6;
/** A layer's program has dozens of operators, each with a beginning and an end: so many runs of one operator. */
const CALLS_OF_LAYER = 4;

export const NO_WORK: Work = { flops: 0, bytes: 0, calls: 0 };

export function addWork(...works: readonly Work[]): Work {
  return works.reduce(
    (sum, { flops, bytes, calls }) => ({
      flops: sum.flops + flops,
      bytes: sum.bytes + bytes,
      calls: sum.calls + calls,
    }),
    NO_WORK,
  );
}

export function timesWork(count: number, { flops, bytes, calls }: Work): Work {
  return { flops: count * flops, bytes: count * bytes, calls: count * calls };
}

export const tokensOf = ({ sequences, length }: TextSize): number => sequences * length;

/** Passes over `elements` numbers: each reads and writes all of them. */
export function passesOver(elements: number, passes: number): Work {
  return { flops: 0, bytes: 2 * passes * elements * FLOAT, calls: 0 };
}

/** One layer, forward. @param quantized true where activations are rounded, and turned before that. */
export function layerForward(config: ModelConfig, text: TextSize, quantized: boolean): Work {
  const { hiddenSize: d, intermediateSize: f, heads, kvHeads, headDim } = config;
  const tokens = tokensOf(text);
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  // A query sees half of its sequence on average, once for the scores and once for the sum of values.
  const flops = tokens * (2 * layerParameters(config) + 2 * text.length * queries);
  // Norms, rotary embedding, softmax, SwiGLU and the two sums.
  const own = 6 * d + 3 * f + 2 * (queries + keys) + PASSES_OVER_SCORES * (text.length / 2) * heads;
  // Finding a scale, rounding, and a transform before.
  const rounded = quantized ? 3 * (2 * d + queries + f + 2 * keys) : 0;
  const calls = CALLS_OF_LAYER * runsFor(text);
  return addWork({ flops, bytes: 0, calls }, passesOver(tokens * (own + rounded), 1));
}

/** One layer, forward and back to what it reads: two products for each of forward, and one computed again. */
export function layerBothWays(config: ModelConfig, text: TextSize, quantized: boolean): Work {
  return timesWork(3, layerForward(config, text, quantized));
}

/** The output layer with its softmax. */
export function headForward({ hiddenSize, vocabSize }: ModelConfig, tokens: number): Work {
  const flops = 2 * tokens * vocabSize * hiddenSize;
  return addWork({ flops, bytes: 0, calls: 1 }, passesOver(tokens * vocabSize, 2));
}

/** The whole network, forward, with its output layer. */
export function networkForward(config: ModelConfig, text: TextSize, quantized: boolean): Work {
  const layers = timesWork(config.layers, layerForward(config, text, quantized));
  return addWork(layers, headForward(config, tokensOf(text)));
}

/** How weights are made for the merged network. */
export interface Preparing {
  /** True where maps are multiplied into them. */
  readonly mapped: boolean;
  /** True where they are rounded with a search of clip ratios. */
  readonly searched: boolean;
}

/** Q(Lᵀ W A) of every layer. */
export function prepareWeights(config: ModelConfig, { mapped, searched }: Preparing): Work {
  const weights = config.layers * layerParameters(config);
  const flops = mapped ? 2 * config.hiddenSize * weights : 0;
  const products = { flops, bytes: 0, calls: config.layers };
  const search = searched ? clipSearch(weights) : NO_WORK;
  return addWork(products, search, passesOver(weights, mapped ? 4 : 2));
}

/** The search of the clip ratios of some weights. */
export function clipSearch(weights: number): Work {
  return { flops: CLIP_RATIOS * OPERATIONS_OF_RATIO * weights, bytes: 0, calls: 0 };
}

/** XᵀX of rows [tokens, n], of which one half is computed. */
export function secondMoment(tokens: number, n: number): Work {
  return { flops: tokens * n * (n + 1), bytes: 0, calls: runsFor({ sequences: tokens, length: 1 }) };
}

/** Runs of a layer's program that a text takes. */
function runsFor({ sequences, length }: TextSize): number {
  const atOnce = Math.max(1, Math.floor(DEFAULT_MEMORY.tokensAtOnce / length));
  return Math.ceil(sequences / atOnce);
}
