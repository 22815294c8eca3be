import type { WeightSet } from './weight-set.ts';

/** Decay rates of the two moving averages, and what keeps the quotient finite: the defaults of AdamW. */
const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;

/** Moving averages of the derivatives and of their squares, by the names of the weights. */
export interface Moments {
  readonly first: WeightSet;
  readonly second: WeightSet;
}

/**
 * One step of AdamW (Loshchilov & Hutter 2019, algorithm 2) without weight decay, in place:
 *   m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − η m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + ε).
 * @param step t, from 1. @param learningRate η of this step.
 */
export function stepAdamW(
  weights: WeightSet,
  derivatives: ReadonlyMap<string, Float32Array>,
  { first, second }: Moments,
  { step, learningRate }: { readonly step: number; readonly learningRate: number },
): void {
  const rate = learningRate / (1 - BETA1 ** step);
  const correction = Math.sqrt(1 - BETA2 ** step);
  for (const [name, { data: w }] of weights) {
    const [g, m, v] = [derivatives.get(name), first.get(name)?.data, second.get(name)?.data];
    if (!g || !m || !v) throw new Error(`${name} has no derivative or no moments`);
    for (let i = 0; i < w.length; i++) {
      const slope = g[i]!;
      const mean = BETA1 * m[i]! + (1 - BETA1) * slope;
      const square = BETA2 * v[i]! + (1 - BETA2) * slope * slope;
      m[i] = mean;
      v[i] = square;
      w[i] = w[i]! - (rate * mean) / (Math.sqrt(square) / correction + EPSILON);
    }
  }
}
