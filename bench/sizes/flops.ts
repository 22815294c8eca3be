import type { ModelConfig } from '../../src/engine/model/config.ts';

/** Counts of floating-point operations of products; a multiply-add counts as two. */
export interface Flops {
  readonly forward: number;
  readonly backward: number;
}

/**
 * Counts useful operations of one learning step of `tokens` tokens in sequences of `sequence`, nothing computed twice.
 * Causal attention counts as half. The unrotated network has two products of R1 per reading site forward, and two for
 * ∂R1 backward. The merged one has Ŵ once per step, u W of the reading weights, and x̂ Aᵀ Wᵀ of the writing ones.
 */
export function stepFlops(config: ModelConfig, tokens: number, sequence: number, merged: boolean): Flops {
  const { hiddenSize: d, intermediateSize: f, heads, kvHeads, headDim: h, layers, vocabSize } = config;
  const [q, kv] = [heads * h, kvHeads * h];
  const weights = d * (2 * q + 2 * kv) + 3 * d * f;
  // Scores and values take the visible half of the keys; backward has ∂P, ∂V, ∂Q and ∂K.
  const attention = sequence * q;
  const headRotations = h * (q + kv);
  const rotations = merged
    ? {
        forward: 0,
        backward: d * (q + 2 * kv) + 2 * d * f + d * q + (q + kv + f) * d + 5 * d * d + 4 * headRotations,
      }
    : { forward: 4 * d * d + headRotations, backward: 4 * d * d + 2 * headRotations };
  const perToken = {
    forward: layers * (weights + attention + rotations.forward) + d * vocabSize,
    backward: layers * (weights + 2 * attention + rotations.backward) + d * vocabSize,
  };
  const prepare = merged ? layers * (d * (q + 2 * kv + 2 * f) * d + (q + f) * d * d) : 0;
  return { forward: 2 * (tokens * perToken.forward + prepare), backward: 2 * tokens * perToken.backward };
}

/** Counts the operations to predict `tokens` tokens. */
export function evaluationFlops(config: ModelConfig, tokens: number, sequence: number): number {
  const { hiddenSize: d, intermediateSize: f, heads, kvHeads, headDim: h, layers, vocabSize } = config;
  const layer = d * 2 * h * (heads + kvHeads) + 3 * d * f + sequence * heads * h;
  return 2 * tokens * (layers * layer + d * vocabSize);
}
