/** The 20 candidates of AWQ's scale search (Lin et al. 2023, eq. 4 and 5). */

/** Powers ρ of the mean magnitude: 0, 0.05 … 0.95. */
const POWERS = 20;
export const POWER_INDICES: readonly number[] = Array.from({ length: POWERS }, (_, index) => index);

/** No scale is below this: a channel that is never used stays finite. */
const SMALLEST = 1e-4;

/**
 * s_j = max(m_j^ρ, 1e-4), divided by √(max s · min s) so that scales lie around one.
 * @param means mean|x_j| over the tokens [n].
 * @param index of ρ = index / 20.
 */
export function candidateScales(means: Float64Array, index: number): Float64Array {
  const scales = means.map((mean) => Math.max(mean ** (index / POWERS), SMALLEST));
  const [largest, least] = [scales.reduce((a, b) => Math.max(a, b)), scales.reduce((a, b) => Math.min(a, b))];
  const middle = Math.sqrt(largest * least);
  return scales.map((scale) => scale / middle);
}

/**
 * The factors of a seam's map [n], by which channels are divided by s. The engine folds a norm's gain g into the weights,
 * and AWQ scales weights without it: the factor g / s takes it out again. A gain of 0 leaves nothing to scale.
 * @param gains null where the weights take no gain, or where a rotation stands between the gain and the scales.
 */
export function factorsOf(scales: Float64Array, gains: Float32Array | null): Float32Array {
  return Float32Array.from(scales, (scale, channel) => (gains?.[channel] || 1) / scale);
}

/**
 * Means of the channels that scales are of: a channel of a key/value head has the mean over the query heads of its group.
 * @param sums Σ|x_j| over the tokens [heads · width], the heads of a group next to each other.
 * @param groups channels of so many heads have scales of their own.
 */
export function groupedMeans(
  sums: Float64Array,
  tokens: number,
  groups: { readonly heads: number; readonly kvHeads: number; readonly headDim: number } | null,
): Float64Array {
  if (groups === null) return sums.map((sum) => sum / tokens);
  const { heads, kvHeads, headDim } = groups;
  const repeats = heads / kvHeads;
  const means = new Float64Array(kvHeads * headDim);
  sums.forEach((sum, index) => {
    const head = Math.floor(index / headDim);
    means[Math.floor(head / repeats) * headDim + (index % headDim)]! += sum / (tokens * repeats);
  });
  return means;
}
