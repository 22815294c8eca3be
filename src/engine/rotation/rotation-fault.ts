import { estimateOrthogonalityError, orthogonalityError } from './orthogonal.ts';

/** max |RᵀR − I| may be this large: above bfloat16 storage and rounding drift, far below any other matrix. */
const MAX_ERROR = 1e-3;
/** Up to this width the error is computed; above, it is estimated, since an exact check takes n³ operations. */
const MAX_EXACT_WIDTH = 1024;

/** Tells in words why a matrix [n, n] that was read from a file is no rotation; null where it is one. */
export function rotationFault(matrix: Float32Array, n: number): string | null {
  const at = matrix.findIndex((value) => !Number.isFinite(value));
  if (at >= 0)
    return `its entry [${Math.floor(at / n)}, ${at % n}] is ${matrix[at]}; entries are finite numbers in float32`;
  const exact = n <= MAX_EXACT_WIDTH;
  const error = exact ? orthogonalityError(matrix, n) : estimateOrthogonalityError(matrix, n);
  // A NaN is no error that is allowed.
  if (error <= MAX_ERROR) return null;
  const about = exact ? '' : 'about ';
  return `max |RᵀR − I| is ${about}${error.toExponential(2)}; at most ${MAX_ERROR} is allowed`;
}
