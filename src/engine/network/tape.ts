import { elementCount, float32, type HostTensor } from '../../protocol/tensor.ts';
import type { Value } from '../graph/graph.ts';
import type { ModelConfig } from '../model/config.ts';
import type { BatchShape } from './layer-shape.ts';

/** Values that the backward pass of a layer reads and that take products to compute again. */
const ATTENTION_VALUES = ['q', 'k', 'v', 'attentionOutput', 'logSum', 'attended'] as const;
const MLP_VALUES = ['gate', 'up'] as const;
export type KeptName = (typeof ATTENTION_VALUES)[number] | (typeof MLP_VALUES)[number];

/** Called with each such value while a layer is built. */
export type Keep = (name: KeptName, value: Value) => void;

/** What of a layer's forward pass is kept for its backward pass; the rest is computed again. */
export type TapeLevel = 'nothing' | 'attention' | 'all';

const KEPT: Readonly<Record<TapeLevel, readonly KeptName[]>> = {
  nothing: [],
  attention: ATTENTION_VALUES,
  all: [...ATTENTION_VALUES, ...MLP_VALUES],
};

/** Name of a kept value as output of the forward program and as input of the backward program. */
const tapeName = (name: KeptName): string => `kept.${name}`;

/** The values of a layer that a level keeps, by program input or output name. */
export function keptValues(
  values: ReadonlyMap<KeptName, Value>,
  level: TapeLevel,
): ReadonlyMap<string, Value> {
  return new Map(KEPT[level].map((name) => [tapeName(name), values.get(name)!]));
}

/** Shapes of the kept values of one layer. */
function keptDims(config: ModelConfig, { batch, sequence }: BatchShape): Record<KeptName, number[]> {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim } = config;
  const tokens = batch * sequence;
  const stacked = [batch, kvHeads, (heads / kvHeads) * sequence];
  return {
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

/** Bytes that a level keeps of one layer. */
export function tapeBytes(config: ModelConfig, shape: BatchShape, level: TapeLevel): number {
  const dims = keptDims(config, shape);
  const elements = KEPT[level].reduce((sum, name) => sum + elementCount(dims[name]), 0);
  return elements * Float32Array.BYTES_PER_ELEMENT;
}

/**
 * Which layers keep what within `budget` bytes. Attention first, in as many layers as fit: a byte kept there saves
 * about three times the products that one of gate and up does.
 */
export function planTape(config: ModelConfig, shape: BatchShape, budget: number): readonly TapeLevel[] {
  const attention = tapeBytes(config, shape, 'attention');
  const mlp = tapeBytes(config, shape, 'all') - attention;
  const withAttention = Math.min(config.layers, Math.floor(budget / attention));
  const left = budget - withAttention * attention;
  const withAll = withAttention < config.layers ? 0 : Math.min(config.layers, Math.floor(left / mlp));
  return Array.from({ length: config.layers }, (_, layer) =>
    layer < withAll ? 'all' : layer < withAttention ? 'attention' : 'nothing',
  );
}

/**
 * Memory of one forward and backward pass, allocated once and used again in every pass of this shape: the residual
 * before each layer, what the layers keep, and the two residual gradients that take turns.
 */
export class Tape {
  readonly shape: BatchShape;
  readonly levels: readonly TapeLevel[];
  /** [T, d] before each layer, and after the last. */
  readonly residuals: readonly HostTensor<Float32Array>[];
  readonly #kept: readonly Readonly<Record<string, HostTensor<Float32Array>>>[];
  readonly #gradients: readonly HostTensor<Float32Array>[];

  constructor(config: ModelConfig, shape: BatchShape, budget: number) {
    this.shape = shape;
    this.levels = planTape(config, shape, budget);
    const residual = () => zeros([shape.batch * shape.sequence, config.hiddenSize]);
    this.residuals = Array.from({ length: config.layers + 1 }, residual);
    this.#gradients = [residual(), residual()];
    const dims = keptDims(config, shape);
    this.#kept = this.levels.map((level) =>
      Object.fromEntries(KEPT[level].map((name) => [tapeName(name), zeros(dims[name])])),
    );
  }

  /** Kept values of a layer, by program input or output name. */
  kept(layer: number): Readonly<Record<string, HostTensor<Float32Array>>> {
    return this.#kept[layer]!;
  }

  /** Where ∂loss/∂x of a layer goes; the layer above used the other one. */
  gradient(layer: number): HostTensor<Float32Array> {
    return this.#gradients[layer % 2]!;
  }
}

function zeros(dims: readonly number[]): HostTensor<Float32Array> {
  return float32(dims, new Float32Array(elementCount(dims)));
}
