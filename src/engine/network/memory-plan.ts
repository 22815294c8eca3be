import { UserError } from '../../protocol/errors.ts';
import type { ModelConfig } from '../model/config.ts';
import { tapeBytes } from './tape.ts';

/** Limits of what a network holds in memory at once. */
export interface NetworkMemory {
  /** Tokens that pass through a layer at once, in whole sequences. */
  readonly tokensAtOnce: number;
  /** Residuals of sequences that pass through the layers together, where weights are prepared once per group. */
  readonly groupBytes: number;
  /** Rotated and rounded weights up to this size are kept for all layers. */
  readonly preparedBytes: number;
  /** Forward passes keep this much for backward passes beside the residuals; the rest is computed again. */
  readonly tapeBytes: number;
  /** A walk that rounds weights keeps so much of what down reads between two passes; the rest is computed again. */
  readonly productBytes: number;
  /** Logits. */
  readonly logitElements: number;
  /** An output layer up to this size in float32 is applied whole, to some tokens at a time; a larger one in slices. */
  readonly headBytes: number;
}

/** Without a limit: a step at SmolLM2-135M's size stays within 1.5 GB beyond the weights. */
export const DEFAULT_MEMORY: NetworkMemory = {
  tokensAtOnce: 2048,
  groupBytes: 2 ** 29,
  preparedBytes: 2 ** 31,
  tapeBytes: 12 * 2 ** 26,
  productBytes: 2 ** 30,
  // A sixth of 2048 tokens at SmolLM2's vocabulary: each part reads, and packs, the whole output layer.
  logitElements: 17 * 2 ** 20,
  headBytes: 2 ** 28,
};

/** Copies of second moments of the widest input, and of the largest weight. */
interface MatrixCopies {
  readonly moments: number;
  readonly weights: number;
}

/** The parts of a computation that take memory. */
export interface MemoryDemand {
  readonly sequence: number;
  /** True where gradients are wanted. */
  readonly learns: boolean;
  /** Bytes of the mapped and rounded weights of all layers, held beside those of the file; 0 for none. */
  readonly prepared: number;
  /** Absent where no method works on second moments of what weights read. */
  readonly moments?: {
    /** What it does with the weights: `GPTQ rounds them`. */
    readonly work: string;
    /** The setting that does without it. */
    readonly without: string;
    /** Matrices that it holds beside those that every such method does; absent: none. */
    readonly copies?: MatrixCopies;
    /** True where it walks a text through the network, stage by stage (`rounding/walk`). */
    readonly walks?: boolean;
  };
}

const FLOAT = Float32Array.BYTES_PER_ELEMENT;
/** Node.js, ONNX Runtime and compiled graphs before any tensor. */
const PROCESS_BYTES = 220 * 2 ** 20;
const SMALLEST_LOGITS = 2 ** 20;
/** Gradients, sums in float64, optimizer and Cayley iteration hold about so many copies of a rotation. */
const COPIES_OF_ROTATION = 16;

/**
 * Fits the work into `limit` bytes beyond the mapped weights, giving up first what costs least time: the tape, then
 * kept prepared weights, the size of logit slices, and several sequences at once.
 * @param limit bytes, or null for the defaults.
 * @throws UserError when even one sequence at a time does not fit.
 */
export function planMemory(config: ModelConfig, demand: MemoryDemand, limit: number | null): NetworkMemory {
  // Enough tokens for full speed of the products, and little enough memory.
  const { tokensAtOnce } = DEFAULT_MEMORY;
  const most = Math.max(demand.sequence, tokensAtOnce - (tokensAtOnce % demand.sequence));
  if (limit === null)
    return {
      ...DEFAULT_MEMORY,
      tokensAtOnce: most,
      preparedBytes: defaultPrepared(config),
      tapeBytes: defaultTape(demand),
    };
  for (let tokens = most; tokens >= demand.sequence; tokens -= demand.sequence) {
    const memory = planFor(config, demand, tokens, limit);
    if (memory) return memory;
  }
  throw tooLittle(config, demand, limit);
}

function tooLittle(config: ModelConfig, demand: MemoryDemand, limit: number): UserError {
  const needed = gigabytes(smallestDemand(config, demand, demand.sequence));
  const start = `memoryLimit is ${gigabytes(limit)} GB; one sequence of ${demand.sequence} tokens of this model needs ${needed} GB beyond its weights`;
  if (!demand.moments)
    return new UserError(
      'memory/limit',
      `${start}.`,
      'Raise memoryLimit, set it to null, or use a smaller sequenceLength.',
    );
  return new UserError(
    'memory/limit',
    `${start} while ${demand.moments.work}, ${gigabytes(roundingBytes(config, demand.moments.copies))} GB of it for second moments and weights.`,
    `Raise memoryLimit, set it to null, or set ${demand.moments.without}.`,
  );
}

/** Bytes without which not even one sequence at a time can be computed. */
export function leastBytes(config: ModelConfig, demand: MemoryDemand): number {
  return smallestDemand(config, demand, demand.sequence);
}

/**
 * Bytes that a network is expected to take at once, the process included and the mapped weights not.
 * @param memory as it was planned. @param tokens that pass through it in all.
 */
export function expectedBytes(
  config: ModelConfig,
  demand: MemoryDemand,
  memory: NetworkMemory,
  tokens: number,
): number {
  const atOnce = Math.min(tokens, memory.tokensAtOnce);
  const logits = Math.min(memory.logitElements, atOnce * config.vocabSize);
  const prepared = Math.min(memory.preparedBytes, demand.prepared) || demand.prepared / config.layers;
  const shape = { batch: 1, sequence: atOnce, activationCodes: false };
  const tape = demand.learns
    ? Math.min(memory.tapeBytes, config.layers * tapeBytes(config, shape, 'all'))
    : 0;
  const stream = demand.learns ? 0 : Math.min(memory.groupBytes, tokens * config.hiddenSize * FLOAT);
  const products = demand.moments?.walks
    ? Math.min(memory.productBytes, tokens * config.intermediateSize * FLOAT)
    : 0;
  return (
    fixedBytes(config, demand, atOnce) +
    Math.max(layerBytes(config, demand, atOnce), lossBytes(config, logits, memory.headBytes)) +
    prepared +
    tape +
    stream +
    products
  );
}

/** Everything that cannot be given up, with the least of what can. */
function smallestDemand(config: ModelConfig, demand: MemoryDemand, tokens: number): number {
  return (
    fixedBytes(config, demand, tokens) +
    Math.max(layerBytes(config, demand, tokens), lossBytes(config, SMALLEST_LOGITS, 0)) +
    demand.prepared / config.layers
  );
}

function planFor(
  config: ModelConfig,
  demand: MemoryDemand,
  tokens: number,
  limit: number,
): NetworkMemory | null {
  if (smallestDemand(config, demand, tokens) > limit) return null;
  const fixed = fixedBytes(config, demand, tokens);
  const layer = layerBytes(config, demand, tokens);
  const allPrepared = demand.prepared;
  const onePrepared = allPrepared / config.layers;
  let left = limit - fixed - layer - onePrepared;
  // The workspace of the loss and that of a layer are used in turn.
  const forLoss = layer + Math.max(0, left) / 2;
  const wholeHead = lossBytes(config, SMALLEST_LOGITS, DEFAULT_MEMORY.headBytes) <= forLoss;
  const headBytes = wholeHead ? DEFAULT_MEMORY.headBytes : 0;
  let logitElements = DEFAULT_MEMORY.logitElements;
  while (logitElements > SMALLEST_LOGITS && lossBytes(config, logitElements, headBytes) > forLoss) {
    logitElements /= 2;
  }
  left -= Math.max(0, lossBytes(config, logitElements, headBytes) - layer);
  const keepsAll = allPrepared - onePrepared <= left;
  if (keepsAll) left -= allPrepared - onePrepared;
  left = Math.max(0, left);
  return {
    tokensAtOnce: tokens,
    groupBytes: Math.min(DEFAULT_MEMORY.groupBytes, left),
    productBytes: Math.max(0, left - DEFAULT_MEMORY.groupBytes),
    preparedBytes: keepsAll ? allPrepared : 0,
    tapeBytes: demand.learns ? Math.min(DEFAULT_MEMORY.tapeBytes, left) : 0,
    logitElements,
    headBytes,
  };
}

/** Prepared weights of a byte a number stay, however many there are: a file has twice as much of them. */
function defaultPrepared(config: ModelConfig): number {
  return Math.max(DEFAULT_MEMORY.preparedBytes, config.layers * layerParameters(config));
}

/** Prepared weights and the tape share what the defaults allow for the tape. */
function defaultTape({ prepared }: MemoryDemand): number {
  return Math.max(0, DEFAULT_MEMORY.tapeBytes - prepared);
}

/** Process, rotations, the residuals between the layers, and what a rounding method works on. */
function fixedBytes(config: ModelConfig, { learns, moments }: MemoryDemand, tokens: number): number {
  const { hiddenSize: d, headDim: h, layers } = config;
  const rotations = (d * d + layers * h * h) * FLOAT * (learns ? COPIES_OF_ROTATION : 2);
  const residuals = (learns ? layers + 4 : 4) * tokens * d * FLOAT;
  return PROCESS_BYTES + rotations + residuals + (moments ? roundingBytes(config, moments.copies) : 0);
}

/** Second moments of the widest input, sum and addend, the largest weight in five versions, and a method's own copies. */
export function roundingBytes(
  { hiddenSize: d, intermediateSize: f, heads, headDim }: ModelConfig,
  { moments, weights }: MatrixCopies = { moments: 0, weights: 0 },
): number {
  const n = Math.max(d, f, heads * headDim);
  return FLOAT * ((2 + moments) * n * n + (5 + weights) * d * Math.max(f, heads * headDim));
}

/** Workspace of one layer: activations of its graph, its weights in float32, partial sums of attention. */
function layerBytes(config: ModelConfig, { learns }: MemoryDemand, tokens: number): number {
  const { hiddenSize: d, intermediateSize: f, heads, headDim } = config;
  const activations = tokens * (learns ? 10 * f + 16 * d : 4 * f + 10 * d);
  const attention = learns ? 4 * tokens * heads * headDim : 0;
  return FLOAT * (activations + attention + 1.5 * layerParameters(config));
}

/** Workspace of the loss: logits, their gradient, and the output layer or a slice of it in float32. */
function lossBytes(config: ModelConfig, logitElements: number, headBytes: number): number {
  const head = config.vocabSize * config.hiddenSize * FLOAT;
  return 2.5 * logitElements * FLOAT + (head <= headBytes ? head : Math.min(head, 2 ** 27));
}

/** Numbers of the seven weights of a layer. */
export function layerParameters({
  hiddenSize: d,
  intermediateSize: f,
  heads,
  kvHeads,
  headDim: h,
}: ModelConfig) {
  return 2 * d * h * (heads + kvHeads) + 3 * d * f;
}

/** Bytes of all rotated and rounded weights as float32. */
export function preparedBytes(config: ModelConfig): number {
  return config.layers * layerParameters(config) * FLOAT;
}

const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(2);
