/** Neither a scale nor the size of a weight counts as less: a channel that is never used stays finite. */
const SMALLEST = 1e-5;

/**
 * 1/s [d] of a norm, what its channels are multiplied by: s_j = max|x_j|^α / max|W_j|^(1−α) (Xiao et al. 2023, eq. 4).
 * @param activations max|x| [d]. @param weights max|W| [d].
 */
export function channelFactors(
  activations: Float32Array = new Float32Array(),
  weights: Float32Array = new Float32Array(),
  alpha: number,
): Float32Array {
  return activations.map((largest, channel) => {
    const weight = Math.max(weights[channel] ?? 0, SMALLEST);
    return 1 / Math.max(largest ** alpha / weight ** (1 - alpha), SMALLEST);
  });
}
