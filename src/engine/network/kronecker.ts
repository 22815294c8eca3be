/**
 * Maps diag(s) (P₁ ⊗ P₂) of n = n₁ n₂ channels (FlatQuant, Sun et al. 2025): a row x, taken as a matrix X [n₁, n₂], goes
 * to Pᵀ₁ (s ∘ X) P₂, for 2 n (n₁ + n₂) operations instead of 2 n².
 */
import { recordOf } from '../../protocol/records.ts';
import { elementCount } from '../../protocol/tensor.ts';
import { inverse, transposed } from './small-matrix.ts';

/** The divisors n₁ ≤ n₂ of n that are nearest to each other. */
export function kroneckerFactors(width: number): readonly [number, number] {
  let left = Math.floor(Math.sqrt(width));
  while (width % left !== 0) left--;
  return [left, width / left];
}

/** Operations of the map for a row of so many channels. */
export function kroneckerFlops(width: number): number {
  const [left, right] = kroneckerFactors(width);
  return 2 * width * (left + right);
}

/** In their order: s, P₁, P₂, and P₁⁻ᵀ, P₂⁻ᵀ, which graphs have no operator for. */
export const KRONECKER_NAMES = ['gain', 'left', 'right', 'leftInverse', 'rightInverse'] as const;
export type KroneckerName = (typeof KRONECKER_NAMES)[number];

/** Where numbers stand in the vector of a map. */
export interface KroneckerPart {
  readonly start: number;
  readonly dims: readonly number[];
}

export function kroneckerParts(width: number): Readonly<Record<KroneckerName, KroneckerPart>> {
  const [n1, n2] = kroneckerFactors(width);
  const [left, right] = [
    [n1, n1],
    [n2, n2],
  ] as const;
  const dims = { gain: [width], left, right, leftInverse: left, rightInverse: right };
  let size = 0;
  return recordOf(KRONECKER_NAMES, (name) => {
    const start = size;
    size += elementCount(dims[name]);
    return { start, dims: dims[name] };
  });
}

/** Numbers of a map of so many channels. */
export function kroneckerSize(width: number): number {
  const { start, dims } = kroneckerParts(width).rightInverse;
  return start + elementCount(dims);
}

/** A map is made of these, row-major float64: s [n], P₁ [n₁, n₁], P₂ [n₂, n₂]. */
export type KroneckerSource = Readonly<Record<'gain' | 'left' | 'right', Float64Array>>;

/** The numbers of a map. @returns null where a factor has no inverse in float64. */
export function kroneckerNumbers({ gain, left, right }: KroneckerSource): Float64Array | null {
  const inverses = [inverse(left), inverse(right)];
  if (inverses.includes(null)) return null;
  const parts = [gain, left, right, ...inverses.flatMap((found) => (found ? [transposed(found)] : []))];
  const numbers = new Float64Array(kroneckerSize(gain.length));
  let start = 0;
  for (const part of parts) {
    numbers.set(part, start);
    start += part.length;
  }
  return numbers;
}
