import { adamStep } from '../calibration/adam.ts';
import type { WeightSet } from './weight-set.ts';

/** The defaults of AdamW, without its decay. */
const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0 } as const;

/** Moving averages of the derivatives and of their squares, by the names of the weights. */
export interface Moments {
  readonly first: WeightSet;
  readonly second: WeightSet;
}

/**
 * One step of Adam on all weights, in place.
 * @param step t, from 1. @param learningRate η of this step.
 */
export function stepAdamW(
  weights: WeightSet,
  derivatives: ReadonlyMap<string, Float32Array>,
  { first, second }: Moments,
  { step, learningRate }: { readonly step: number; readonly learningRate: number },
): void {
  for (const [name, { data }] of weights) {
    const [slopes, mean, square] = [derivatives.get(name), first.get(name)?.data, second.get(name)?.data];
    if (!slopes || !mean || !square) throw new Error(`${name} has no derivative or no moments`);
    adamStep(data, slopes, { mean, square }, { ...ADAM, rate: learningRate, step });
  }
}
