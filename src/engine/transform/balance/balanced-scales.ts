/** A channel's share of the mean counts as no less: one that is never used stays near its neighbours. */
const SMALLEST = 1e-6;

/**
 * Scales s of channels in front of a Hadamard transform or rotation that spreads them evenly. Rounding of rows x S H then
 * has the same variance in every channel, in proportion to Σ_j E[x_j²] s_j², and S⁻¹ in the weights lets
 * Σ_j ‖w_j‖² / s_j² of it through; rounding of the weights S⁻¹ w_j has the same two factors. By Cauchy and Schwarz their
 * product is least at s_j² ∝ ‖w_j‖ / √E[x_j²].
 *
 * @param squares E[x_j²] [n]. @param weights ‖w_j‖² [n], of what reads each channel.
 * @param width channels whose scales have the geometric mean 1: those of a head, or all.
 */
export function balancedScales(squares: Float64Array, weights: Float64Array, width: number): Float32Array {
  const scales = new Float32Array(squares.length);
  for (let first = 0; first < squares.length; first += width) {
    const [x, w] = [shares(squares, first, width), shares(weights, first, width)];
    const logs = x.map((share, j) => (Math.log(w[j]!) - Math.log(share)) / 4);
    const mean = logs.reduce((sum, log) => sum + log, 0) / width;
    logs.forEach((log, j) => {
      scales[first + j] = Math.exp(log - mean);
    });
  }
  return scales;
}

/** Numbers by their mean, none below {@link SMALLEST}; 1 where all are 0. */
function shares(numbers: Float64Array, first: number, count: number): Float64Array {
  const some = numbers.subarray(first, first + count);
  const mean = some.reduce((sum, value) => sum + value, 0) / count;
  return some.map((value) => (mean > 0 ? Math.max(value / mean, SMALLEST) : 1));
}
