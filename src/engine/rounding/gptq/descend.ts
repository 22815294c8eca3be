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

/** Adam's own decays, and what keeps its quotient finite; the rate of OmniQuant's clipping. */
const [BETA1, BETA2, EPSILON] = [0.9, 0.999, 1e-8];
const RATE = 0.01;
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
  const [mean, square] = [new Float64Array(first.length), new Float64Array(first.length)];
  let found = await slopesAt(now);
  const begun = Float64Array.from(found.loss);
  const least = begun.slice();
  for (let step = 1; step <= steps; step++) {
    for (let i = 0; i < now.length; i++) {
      const row = Math.floor(i / groups) % rows;
      const sigma = 1 / (1 + Math.exp(-logits[i]!));
      const unit = begun[row]!;
      const slope = unit > 0 ? (found.slope[i]! * sigma * (1 - sigma)) / unit : 0;
      mean[i] = BETA1 * mean[i]! + (1 - BETA1) * slope;
      square[i] = BETA2 * square[i]! + (1 - BETA2) * slope ** 2;
      const [m, v] = [mean[i]! / (1 - BETA1 ** step), square[i]! / (1 - BETA2 ** step)];
      logits[i]! -= (RATE * m) / (Math.sqrt(v) + EPSILON);
      now[i] = 1 / (1 + Math.exp(-logits[i]!));
    }
    found = await slopesAt(now);
    keepBetter({ best, least }, now, found.loss, groups);
  }
  return best;
}

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
