import {
  BYTES_PER_ELEMENT,
  type DType,
  elementCount,
  float32,
  type HostTensor,
  zeros,
} from '../../protocol/tensor.ts';
import type { Value } from '../graph/graph.ts';
import type { ModelConfig } from '../model/config.ts';
import type { BatchShape } from './layer-shape.ts';

/** Values that the backward pass of a layer reads and that take products to compute again. */
const CODES = ['attentionCodes', 'attentionScales', 'mlpCodes', 'mlpScales'] as const;
const ATTENTION_VALUES = ['q', 'k', 'v', 'attentionOutput', 'logSum', 'attended'] as const;
const MLP_VALUES = ['gate', 'up'] as const;
export type KeptName = (typeof CODES | typeof ATTENTION_VALUES | typeof MLP_VALUES)[number];

/** Called with each such value while a layer is built. */
export type Keep = (name: KeptName, value: Value) => void;

/** Each level keeps something of a layer's forward pass for its backward pass, besides what the levels before keep. */
const LEVELS = ['nothing', 'codes', 'attention', 'all'] as const;
export type TapeLevel = (typeof LEVELS)[number];

const ADDED: Readonly<Record<TapeLevel, readonly KeptName[]>> = {
  nothing: [],
  codes: CODES,
  attention: ATTENTION_VALUES,
  all: MLP_VALUES,
};

/** @param codes whether the layer has codes of activations ({@link LayerShape.activationCodes}). */
function keptNames(level: TapeLevel, codes: boolean): readonly KeptName[] {
  const levels = LEVELS.slice(0, LEVELS.indexOf(level) + 1);
  return levels.flatMap((one) => (one === 'codes' && !codes ? [] : ADDED[one]));
}

/** Name of a kept value as output of the forward program and as input of the backward program. */
const tapeName = (name: KeptName): string => `kept.${name}`;

/** The values of a layer that a level keeps, by program input or output name. */
export function keptValues(
  values: ReadonlyMap<KeptName, Value>,
  level: TapeLevel,
): ReadonlyMap<string, Value> {
  const names = keptNames(level, values.has('attentionCodes'));
  return new Map(names.map((name) => [tapeName(name), values.get(name)!]));
}

/** The passes that a tape serves. */
export interface TapeShape extends BatchShape {
  readonly activationCodes: boolean;
}

/** Shapes of the kept values of one layer. */
function keptDims(config: ModelConfig, { batch, sequence }: BatchShape): Record<KeptName, number[]> {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim } = config;
  const tokens = batch * sequence;
  const stacked = [batch, kvHeads, (heads / kvHeads) * sequence];
  return {
    attentionCodes: [tokens, hiddenSize],
    attentionScales: [tokens],
    mlpCodes: [tokens, hiddenSize],
    mlpScales: [tokens],
    q: [tokens, heads * headDim],
    k: [tokens, kvHeads * headDim],
    v: [tokens, kvHeads * headDim],
    attentionOutput: [...stacked, headDim],
    logSum: stacked,
    attended: [tokens, hiddenSize],
    gate: [tokens, intermediateSize],
    up: [tokens, intermediateSize],
  };
}

const dtypeOf = (name: KeptName): DType =>
  name === 'attentionCodes' || name === 'mlpCodes' ? 'int8' : 'float32';

/** Bytes that a level keeps of one layer. */
export function tapeBytes(config: ModelConfig, shape: TapeShape, level: TapeLevel): number {
  const dims = keptDims(config, shape);
  return keptNames(level, shape.activationCodes).reduce(
    (sum, name) => sum + elementCount(dims[name]) * BYTES_PER_ELEMENT[dtypeOf(name)],
    0,
  );
}

/**
 * Which layers keep what within `budget` bytes, one level after the other: a byte of codes saves two to three times the
 * products that one kept of attention does, and that one three times those of gate and up.
 */
export function planTape(config: ModelConfig, shape: TapeShape, budget: number): readonly TapeLevel[] {
  const plan = Array.from({ length: config.layers }, (): TapeLevel => 'nothing');
  let [left, before] = [budget, 0];
  for (const level of LEVELS.slice(1)) {
    const upTo = tapeBytes(config, shape, level);
    if (upTo === before) continue;
    const count = Math.min(config.layers, Math.floor(left / (upTo - before)));
    plan.fill(level, 0, count);
    if (count < config.layers) break;
    left -= count * (upTo - before);
    before = upTo;
  }
  return plan;
}

/**
 * Memory of one forward and backward pass, allocated once and used again in every pass of this shape: the residual
 * before each layer, what the layers keep, and the two residual gradients that take turns.
 */
export class Tape {
  readonly shape: TapeShape;
  readonly levels: readonly TapeLevel[];
  readonly #residuals: readonly HostTensor<Float32Array>[];
  readonly #kept: readonly Readonly<Record<string, HostTensor>>[];
  readonly #gradients: readonly HostTensor<Float32Array>[];

  constructor(config: ModelConfig, shape: TapeShape, budget: number) {
    this.shape = shape;
    this.levels = planTape(config, shape, budget);
    const residual = () => {
      const dims = [shape.batch * shape.sequence, config.hiddenSize];
      return float32(dims, new Float32Array(elementCount(dims)));
    };
    this.#residuals = Array.from({ length: config.layers + 1 }, residual);
    this.#gradients = [residual(), residual()];
    const dims = keptDims(config, shape);
    this.#kept = this.levels.map((level) =>
      Object.fromEntries(
        keptNames(level, shape.activationCodes).map((name) => [
          tapeName(name),
          zeros(dtypeOf(name), dims[name]),
        ]),
      ),
    );
  }

  /** The level of a layer. */
  level(layer: number): TapeLevel {
    return this.levels[layer] ?? 'nothing';
  }

  /** [T, d] before a layer; after the last one at the number of layers. */
  residual(layer: number): HostTensor<Float32Array> {
    return required(this.#residuals[layer]);
  }

  /** Kept values of a layer, by program input or output name. */
  kept(layer: number): Readonly<Record<string, HostTensor>> {
    return required(this.#kept[layer]);
  }

  /** Memory for ∂loss/∂x of a layer; the layer above used the other one. */
  gradient(layer: number): HostTensor<Float32Array> {
    return required(this.#gradients[layer % 2]);
  }
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the tape is for fewer layers');
  return value;
}
