/** Numbers of an array, in either precision. */
type Numbers = Float32Array | Float64Array;

/** Moving averages of the derivatives and of their squares, each as long as the values. */
interface Moments {
  readonly mean: Numbers;
  readonly square: Numbers;
}

interface AdamOptions {
  /** Decay of the two averages, below 1. */
  readonly beta1: number;
  readonly beta2: number;
  /** Keeps the quotient finite. */
  readonly epsilon: number;
  /** λ, which draws values to 0; 0 is Adam itself. */
  readonly decay: number;
  /** η of this step. */
  readonly rate: number;
  /** t, from 1. */
  readonly step: number;
}

/**
 * One step of AdamW (Loshchilov & Hutter 2019, algorithm 2), in place and in double precision but for what is stored:
 *   m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − η (λw + m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + ε)).
 * @param slopes g, the derivatives of the loss by the values. @param moments 0 before the first step.
 */
export function adamStep(
  values: Numbers,
  slopes: ArrayLike<number>,
  { mean, square }: Moments,
  { beta1, beta2, epsilon, decay, rate, step }: AdamOptions,
): void {
  const [c1, c2] = [1 - beta1 ** step, 1 - beta2 ** step];
  for (let i = 0; i < values.length; i++) {
    const slope = slopes[i]!;
    const m = beta1 * mean[i]! + (1 - beta1) * slope;
    const v = beta2 * square[i]! + (1 - beta2) * slope * slope;
    mean[i] = m;
    square[i] = v;
    values[i] = values[i]! - rate * (decay * values[i]! + m / c1 / (Math.sqrt(v / c2) + epsilon));
  }
}
