import { adamStep } from '../../calibration/adam.ts';

/** Losses of rows, and their derivatives by the ratios, where these stand now. */
export interface ClipSlopes {
  /** [rows]. */
  readonly loss: ArrayLike<number>;
  /** Of the sum of losses, by each ratio: ends × rows × groups. */
  readonly slope: ArrayLike<number>;
}

export interface Descent {
  /** Where it begins, above 0 up to 1: ends × rows × groups. */
  readonly first: Float64Array;
  readonly rows: number;
  readonly groups: number;
  readonly steps: number;
}

/** Adam's own defaults; the rate of OmniQuant's clipping. */
const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0, rate: 0.01 } as const;
/** σ(4) = 0.982, where OmniQuant begins: logits of larger ratios begin there, since σ is nearly flat above. */
const LARGEST_LOGIT = 4;

/**
 * Goes down the losses of all rows at once by steps of Adam on logits, whose σ the ratios are. The loss of each row counts
 * in units of the one that it begins with, so that steps do not depend on the size of weights and inputs.
 * @returns of each row the ratios at its least loss, those that it begins with among them.
 */
export async function descend(
  { first, rows, groups, steps }: Descent,
  slopesAt: (ratios: Float64Array) => Promise<ClipSlopes>,
): Promise<Float64Array> {
  const best = first.slice();
  const now = first.slice();
  const logits = first.map((ratio) => Math.min(Math.log(ratio / (1 - ratio)), LARGEST_LOGIT));
  const moments = { mean: new Float64Array(first.length), square: new Float64Array(first.length) };
  let found = await slopesAt(now);
  const begun = Float64Array.from(found.loss);
  const least = begun.slice();
  for (let step = 1; step <= steps; step++) {
    const slopes = logits.map((logit, i) => {
      const ratio = sigma(logit);
      const unit = begun[Math.floor(i / groups) % rows]!;
      return unit > 0 ? (found.slope[i]! * ratio * (1 - ratio)) / unit : 0;
    });
    adamStep(logits, slopes, moments, { ...ADAM, step });
    now.set(logits.map(sigma));
    found = await slopesAt(now);
    keepBetter({ best, least }, now, found.loss, groups);
  }
  return best;
}

const sigma = (x: number): number => 1 / (1 + Math.exp(-x));

/** Takes over the ratios of rows whose loss is less than before. */
function keepBetter(
  { best, least }: Readonly<Record<'best' | 'least', Float64Array>>,
  now: Float64Array,
  loss: ArrayLike<number>,
  groups: number,
): void {
  const rows = least.length;
  for (let row = 0; row < rows; row++) {
    if (!(loss[row]! < least[row]!)) continue;
    least[row] = loss[row]!;
    for (let start = row * groups; start < now.length; start += rows * groups)
      best.set(now.subarray(start, start + groups), start);
  }
}
