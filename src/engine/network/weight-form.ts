import { hasRowCodes } from '../graph/fused/weight-quantize.ts';
import type { Abilities } from '../graph/lower/abilities.ts';
import { type Precision, roundsDerivatives } from '../graph/lower/tiles.ts';
import type { NetworkMode } from './layer-programs.ts';
import type { WeightForm } from './layer-shape.ts';
import type { NetworkQuantizers } from './network-quantizers.ts';
import { weightObstacle } from './packed-weights.ts';

/** `if-faster`: where the processor has no faster products of the same codes (`graph/lower`). */
export type IntegerProducts = 'always' | 'if-faster' | 'never';

/** What decides the form of a network's prepared weights, beside the processor. */
export interface WeightFormOptions extends NetworkQuantizers {
  readonly mode: NetworkMode;
  readonly integer?: IntegerProducts | undefined;
  readonly learns?: boolean | undefined;
  readonly rounded?: { readonly isDense?: boolean } | undefined;
  readonly denseWeights?: boolean;
  readonly precision?: Precision | undefined;
}

/**
 * Prepared weights are codes where products with codes have a kernel: they take less memory, and are faster. The form is
 * that of most weights; those of other bits, which it does not suit, are numbers.
 */
export function weightFormOf(options: WeightFormOptions, abilities: Abilities): WeightForm {
  const { mode, quantizers, integer = 'never', learns = false, precision = 'float32' } = options;
  const { bfloat16Products, roundedProducts, wholeProducts } = abilities;
  if (mode !== 'merged' || isDense(options)) return 'numbers';
  const inWhole = integer === 'always' || (integer === 'if-faster' && wholeProducts);
  if (inWhole && weightObstacle(quantizers.weights) === null) {
    if (!learns) return 'packed';
    const byCodes = roundedProducts && roundsDerivatives(precision) && hasRowCodes(quantizers.weights);
    return byCodes ? 'packed-and-codes' : 'packed-and-numbers';
  }
  const multipliesCodes = bfloat16Products || (roundedProducts && precision !== 'float32');
  return multipliesCodes && hasRowCodes(quantizers.weights) ? 'codes' : 'numbers';
}

/** True where no grid holds the weights. */
export function isDense({
  rounded,
  denseWeights,
}: Pick<WeightFormOptions, 'rounded' | 'denseWeights'>): boolean {
  return denseWeights === true || rounded?.isDense === true;
}
