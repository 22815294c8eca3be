import { peakLoss } from '../../graph/fused/peak-loss.ts';
import type { Value } from '../../graph/graph.ts';
import { abs, add, div, equal, exp, mul, scale, stopGradient, sub } from '../../graph/ops/elementwise.ts';
import { reduceMax, reduceMean, reduceMin, reduceSum } from '../../graph/ops/reduce.ts';
import { cast, concat, reshape } from '../../graph/ops/shape.ts';

/**
 * A rotation may make one of these small, by the distribution of rotated activations alone:
 * the quantizer's step is the range of a token over 2^b − 1, and rotations keep each token's energy.
 */
export type DistributionObjective = 'peak' | 'range' | 'whip' | 'kurtosis';

/** Softness of the peak (InfoQuant). */
const PEAK_TEMPERATURE = 2;
/** Kurtosis of the uniform distribution, which uses a uniform grid best (KurTail). */
const UNIFORM_KURTOSIS = 1.8;
const EPSILON = 1e-6;

/**
 * Loss of rotated tokens.
 * @param y [N, tokens, n], each of N rotations with its own tokens.
 * @param mirrored true for a symmetric grid, whose step follows max |y| and not the range: a token beside its mirror image
 * has the mean 0 and the range 2 max |y|.
 * @returns mean over tokens [N].
 */
export function distributionLoss(y: Value, objective: DistributionObjective, mirrored = false): Value {
  const judged = mirrored ? concat([y, scale(y, -1)], y.dims.length - 1) : y;
  return meanOverTokens(TOKEN_LOSS[objective](judged));
}

/** [N, tokens, n] → [N, tokens, 1]. */
const TOKEN_LOSS: Record<DistributionObjective, (y: Value) => Value> = {
  peak: (y) => peakLoss(y, PEAK_TEMPERATURE, EPSILON),
  /** (max y − min y)²: the squared quantization step, up to a factor. */
  range(y) {
    const width = sub(atExtreme(y, reduceMax(y, [-1])), atExtreme(y, reduceMin(y, [-1])));
    return mul(width, width);
  },
  /** Σ exp(−|y|) (DartQuant): small entries are pushed up, so with fixed energy the large ones come down. */
  whip: (y) => reduceSum(exp(scale(abs(y), -1)), [-1]),
  /** |κ − 1.8| per token (KurTail). */
  kurtosis(y) {
    const centred = sub(y, reduceMean(y, [-1]));
    const square = mul(centred, centred);
    const variance = add(reduceMean(square, [-1]), y.graph.scalar(EPSILON));
    const kurtosis = div(reduceMean(mul(square, square), [-1]), mul(variance, variance));
    return abs(sub(kurtosis, y.graph.scalar(UNIFORM_KURTOSIS)));
  },
};

/** The extreme value with a derivative: the mean over the entries that attain it. */
function atExtreme(y: Value, extreme: Value): Value {
  const attains = stopGradient(cast(equal(y, extreme), y.graph.real));
  return div(reduceSum(mul(attains, y), [-1]), reduceSum(attains, [-1]));
}

function meanOverTokens(loss: Value): Value {
  return reshape(reduceMean(loss, [1]), [loss.dim(0)]);
}
