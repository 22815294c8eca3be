/** Moments of a tensor from sums over its values. */

/** Σx, Σx², Σx³, Σx⁴. */
export type PowerSums = ArrayLike<number>;

/**
 * E[(x−µ)⁴] / σ⁴ of `count` values: 3 for a Gaussian. 0 where all values are equal.
 * @param sums in double precision.
 */
export function kurtosisOf(sums: PowerSums, count: number): number {
  const [s1, s2, s3, s4] = Array.from(sums) as [number, number, number, number];
  const mean = s1 / count;
  const variance = s2 / count - mean ** 2;
  const fourth = s4 / count - (4 * mean * s3) / count + (6 * mean ** 2 * s2) / count - 3 * mean ** 4;
  return variance > 0 ? fourth / variance ** 2 : 0;
}

/** 10·log10(Σx² / Σ(Q(x) − x)²); null where nothing was quantized. @param noise NaN where it is unknown. */
export function sqnrOf(power: number, noise: number): number | null {
  return Number.isNaN(noise) || noise === 0 ? null : 10 * Math.log10(power / noise);
}
