import { ROUNDED_PARTS, type RoundedPart } from '../../protocol/block.ts';
import { type GatedNetwork, predicted, type Sequences } from './gated-network.ts';

/** Nats per predicted token, of one part of one layer. */
export interface Estimate {
  readonly layer: number;
  readonly part: RoundedPart;
  readonly rise: number;
  readonly share: number;
}

export interface Estimates {
  readonly cells: readonly Estimate[];
  /** Mean loss with all gates at 0, and at 1. */
  readonly loss: { readonly fullPrecision: number; readonly quantized: number };
}

/** Simpson's rule over the way from full precision (0) to quantized (1). */
const NODES = [
  { share: 0, weight: 1 / 6 },
  { share: 0.5, weight: 4 / 6 },
  { share: 1, weight: 1 / 6 },
] as const;

/** Sums over tokens of ∂L/∂γ_t, and of its square, by layer and part; L is the summed loss. */
interface Sums {
  readonly slope: number;
  readonly square: number;
}

/**
 * Estimates where the loss goes, from three passes forward and back. With x̂ = x + γ (Q(x) − x), the derivative by the
 * gate of a token, ∂L/∂γ_t = g_t · e_t, is the gradient at a rounding times its error.
 *
 * `rise`, of this rounding alone: Σ_t g_t·e_t + ½ Σ_t (g_t·e_t)² at full precision, over the tokens of the text. The
 * second term is half the curvature along the error, in which the Hessian is that of Fisher, each token for itself: the
 * loss is a log-likelihood, and errors of different tokens have no common sign.
 *
 * `share`: the integral over γ from 0 to 1 of Σ_t g_t·e_t with all gates at γ. By the chain rule shares add up to the
 * whole rise, but for the quadrature (Simpson's): they are the Aumann-Shapley values of the roundings.
 * @yields the number of passes done.
 */
export async function* estimate(
  network: GatedNetwork,
  groups: readonly Sequences[],
): AsyncGenerator<number, Estimates> {
  const tokens = groups.reduce((sum, group) => sum + predicted(group), 0);
  const shares = new Map<string, number>();
  const rises = new Map<string, number>();
  const losses: number[] = [];
  for (const [index, { share, weight }] of NODES.entries()) {
    const { loss, sums } = await pass(network, groups, share);
    losses.push(loss / tokens);
    for (const [key, { slope, square }] of sums) {
      shares.set(key, (shares.get(key) ?? 0) + (weight * slope) / tokens);
      if (share === 0) rises.set(key, (slope + square / 2) / tokens);
    }
    yield index + 1;
  }
  const layers = Array.from({ length: network.layers }, (_, layer) => layer);
  const cells = layers.flatMap((layer) =>
    network.parts(layer).map((part) => {
      const key = keyOf(layer, part);
      return { layer, part, rise: rises.get(key) ?? 0, share: shares.get(key) ?? 0 };
    }),
  );
  return { cells, loss: { fullPrecision: losses[0] ?? 0, quantized: losses.at(-1) ?? 0 } };
}

const keyOf = (layer: number, part: RoundedPart): string => `${layer} ${part}`;

/** @returns the summed loss, and the sums by layer and part. */
async function pass(
  network: GatedNetwork,
  groups: readonly Sequences[],
  share: number,
): Promise<{ readonly loss: number; readonly sums: ReadonlyMap<string, Sums> }> {
  const sums = new Map<string, Sums>();
  let all = 0;
  for (const group of groups) {
    const { loss, layers } = await network.derivatives(group, share, 1);
    all += loss * predicted(group);
    for (const [layer, derivatives] of layers.entries())
      for (const part of ROUNDED_PARTS) {
        const values = derivatives[part];
        if (!values) continue;
        const { slope, square } = sums.get(keyOf(layer, part)) ?? { slope: 0, square: 0 };
        sums.set(keyOf(layer, part), {
          slope: slope + values.reduce((sum, value) => sum + value, 0),
          square: square + values.reduce((sum, value) => sum + value * value, 0),
        });
      }
  }
  return { loss: all, sums };
}
