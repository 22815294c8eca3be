import type { HostTensor } from '../../../protocol/tensor.ts';
import type { ProgramCache } from '../../graph/program-cache.ts';
import { reverseFactor } from '../reverse-cholesky.ts';

/** A factorisation that fails is tried again with so many times the damping. */
const MORE = 10;
/** Damping goes up so often: beyond a thousandfold, little of what the text says is left. */
const RAISES = 3;

export interface DampedFactor {
  /** T [n, n], see {@link reverseFactor}. */
  readonly t: Float32Array;
  /** The damping of each factorisation that was tried, in order; the last one is that of T. */
  readonly dampings: readonly number[];
  /** False where even the last one failed: pivots that are not positive then count as λ. */
  readonly sound: boolean;
}

/**
 * Factors second moments, with more damping where they turn out not to be positive definite. In exact arithmetic they
 * always are; sums in float32 leave small eigenvalues below zero where one input is much larger than all others.
 * @param h [n, n]. @param into memory for T.
 */
export async function dampedFactor(
  cache: ProgramCache,
  h: HostTensor<Float32Array>,
  damping: number,
  into: HostTensor<Float32Array>,
  signal?: AbortSignal,
): Promise<DampedFactor> {
  const dampings: number[] = [];
  for (let now = damping; ; now *= MORE) {
    dampings.push(now);
    const t = await reverseFactor(cache, h, now, into, signal);
    const sound = isSound(h.data, t, h.dims[0] ?? 0, now);
    if (sound || dampings.length > RAISES) return { t, dampings, sound };
  }
}

/**
 * True where every pivot (H + λI)_jj − Σ_{i>j} T_ij² is positive, without which the textbook's Cholesky factorisation
 * stops. Only pivots that were taken as λ can be others: they are computed again, in double precision.
 */
export function isSound(h: Float32Array, t: Float32Array, n: number, damping: number): boolean {
  const lambda = lambdaOf(h, damping);
  // Kernels may hold the damping in float32, and T_jj is rounded to it.
  const floor = lambda * (1 + 2 ** -20);
  for (let j = 0; j < n; j++) {
    const pivot = t[j * n + j]!;
    if (!Number.isFinite(pivot)) return false;
    if (pivot * pivot > floor) continue;
    let left = h[j * n + j]! + lambda;
    for (let i = j + 1; i < n; i++) left -= t[i * n + j]! ** 2;
    if (!(left > 0)) return false;
  }
  return true;
}

/** λ, the damping in units of mean(diag H); 1 where nothing was seen. @param h [n, n]. */
export function lambdaOf(h: Float32Array, damping: number): number {
  const n = Math.sqrt(h.length);
  let trace = 0;
  for (let j = 0; j < n; j++) trace += h[j * n + j]!;
  return trace === 0 ? 1 : (damping * trace) / n;
}
