/** A tiny LLaMA with random weights, in memory: the derivative tests' model. */

import type { ModelConfig } from '../../src/engine/model/config.ts';
import type { LayerTypes } from '../../src/engine/network/layer-inputs.ts';
import type { LayerQuantizers, LayerShape } from '../../src/engine/network/layer-shape.ts';
import { spinQuantMaps } from '../../src/engine/network/seams.ts';
import { elementCount, float32, type HostTensor } from '../../src/protocol/tensor.ts';

/** Deterministic numbers in (−1, 1): a plain linear congruential generator is random enough for test weights. */
export function noise(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 31 - 1) * 0.999;
  };
}

export const TINY_CONFIG: ModelConfig = {
  architecture: 'llama',
  hiddenSize: 8,
  intermediateSize: 12,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headDim: 4,
  vocabSize: 11,
  maxPositions: 64,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  ropeScaling: null,
  slidingWindow: null,
  layerWindows: [null, null],
  attentionBias: true,
  outputBias: true,
  mlpBias: true,
  qkNorm: true,
  tiedEmbeddings: false,
};

/** Shapes of one layer's tensors, biases and head norms included so that every derivative path is walked. */
export function layerDims(config: ModelConfig): Record<string, number[]> {
  const { hiddenSize: d, intermediateSize: f, headDim: h } = config;
  const [q, kv] = [config.heads * h, config.kvHeads * h];
  return {
    inputNorm: [d],
    postNorm: [d],
    q: [q, d],
    k: [kv, d],
    v: [kv, d],
    o: [d, q],
    gate: [f, d],
    up: [f, d],
    down: [d, f],
    qBias: [q],
    kBias: [kv],
    vBias: [kv],
    oBias: [d],
    gateBias: [f],
    upBias: [f],
    downBias: [d],
    qNorm: [h],
    kNorm: [h],
  };
}

export function randomTensor(
  dims: readonly number[],
  random: () => number,
  scale = 1,
): HostTensor<Float32Array> {
  return float32(
    dims,
    Float32Array.from({ length: elementCount(dims) }, () => random() * scale),
  );
}

export function randomLayer(
  config: ModelConfig,
  random: () => number,
): Record<string, HostTensor<Float32Array>> {
  return Object.fromEntries(
    Object.entries(layerDims(config)).map(([name, dims]) => {
      const tensor = randomTensor(dims, random, 0.6);
      // Gains stand around one.
      if (name.endsWith('Norm'))
        for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = 1 + tensor.data[i]!;
      return [name, tensor];
    }),
  );
}

export function layerTypes(config: ModelConfig): LayerTypes {
  return Object.fromEntries(
    Object.entries(layerDims(config)).map(([name, dims]) => [name, { dtype: 'float32' as const, dims }]),
  );
}

/** 4-bit quantizers as the reference places them, weights at the given bits. */
export function tinyQuantizers(
  config: ModelConfig,
  weightBits: number,
  scaleGradient = false,
): LayerQuantizers {
  const token = { bits: 4, symmetric: false, group: 0, clipRatio: 1, includeZero: true, scaleGradient };
  const head = { ...token, group: config.headDim, includeZero: false };
  return {
    weights: { bits: weightBits, symmetric: true, group: 0, clipSearch: false },
    input: token,
    outputInput: head,
    downInput: token,
    keys: { ...head, includeZero: true },
    values: head,
  };
}

/** R3 on heads of 4; R4 in three blocks of 4, which is orthogonal like any Hadamard. */
export const TINY_MAPS = spinQuantMaps({
  r1: true,
  r2: true,
  r3: { block: 4, order: 1, matrix: null },
  r4: { block: 4, order: 1, matrix: null },
});

export function tinyShape(quantizers: LayerQuantizers, config: ModelConfig = TINY_CONFIG): LayerShape {
  return { batch: 2, sequence: 5, config, window: null, quantizers, maps: TINY_MAPS };
}
