/** As in Brevitas: beyond that, only eigenvalues that are nearly equal are mixed up. */
const ITERATIONS = 30;

/**
 * The largest eigenvalue of second moments h [n, n] by so many power iterations from the input that is largest, in double
 * precision: at most it, and at least the largest number on the diagonal. 0 where nothing was seen.
 */
export function largestEigenvalue(h: Float32Array, n: number): number {
  let first = 0;
  for (let j = 1; j < n; j++) if (h[j * n + j]! > h[first * n + first]!) first = j;
  let vector = Float64Array.from(h.subarray(first * n, (first + 1) * n));
  let size = h[first * n + first]!;
  for (let step = 0; step < ITERATIONS; step++) {
    const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
    if (length === 0) return 0;
    const unit = vector.map((value) => value / length);
    vector = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let j = 0; j < n; j++) sum += h[i * n + j]! * unit[j]!;
      vector[i] = sum;
    }
    size = unit.reduce((sum, value, i) => sum + value * vector[i]!, 0);
  }
  return size;
}
