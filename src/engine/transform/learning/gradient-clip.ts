/**
 * Scales all gradients by one factor so that their joint Euclidean norm does not exceed `maxNorm`; in place.
 * The factor is maxNorm / (norm + 1e-6), as common trainers have it, and applies only where it is below 1.
 * The reference trains with maxNorm = 1 (its trainer's default): without it raw norms of 60–250 make the optimizer's
 * step cap act at every step and the learning-rate schedule has no effect.
 * @param maxNorm Infinity for no clipping.
 * @returns the norm before clipping, accumulated in float64.
 */
export function clipGlobalNorm(gradients: readonly Float32Array[], maxNorm: number): number {
  let sum = 0;
  for (const gradient of gradients) {
    for (let i = 0; i < gradient.length; i++) sum += gradient[i]! * gradient[i]!;
  }
  const norm = Math.sqrt(sum);
  const factor = maxNorm / (norm + 1e-6);
  if (factor < 1) {
    for (const gradient of gradients) {
      for (let i = 0; i < gradient.length; i++) gradient[i] = gradient[i]! * factor;
    }
  }
  return norm;
}
