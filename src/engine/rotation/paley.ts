import { finiteField, primePower } from './finite-field.ts';

/**
 * Paley's first construction: a Hadamard matrix of order K = q + 1 for a prime power q ≡ 3 (mod 4).
 * H = I + S with S = [[0, 1ᵀ], [−1, Q]] and Q[a, b] = χ(a − b); S is antisymmetric with SSᵀ = qI (Paley 1933).
 * @returns K×K entries ±1 row by row, or null when K − 1 is not such a prime power.
 */
export function paleyOne(order: number): Int8Array | null {
  const q = order - 1;
  if (q % 4 !== 3 || primePower(q) === null) return null;
  const matrix = borderedCharacterMatrix(q, -1);
  for (let i = 0; i < order; i++) matrix[i * order + i] = 1;
  return matrix;
}

/**
 * Paley's second construction: a symmetric Hadamard matrix of order K = 2(q + 1) for a prime power q ≡ 1 (mod 4).
 * In the symmetric conference matrix C = [[0, 1ᵀ], [1, Q]] every ±1 becomes ±[[1, 1], [1, −1]] and every 0 becomes
 * [[1, −1], [−1, −1]] (Paley 1933).
 * @returns K×K entries ±1 row by row, or null when K/2 − 1 is not such a prime power.
 */
export function paleyTwo(order: number): Int8Array | null {
  const half = order / 2;
  const q = half - 1;
  if (q % 4 !== 1 || primePower(q) === null) return null;
  const conference = borderedCharacterMatrix(q, 1);
  const matrix = new Int8Array(order * order);
  for (let i = 0; i < half; i++) {
    for (let j = 0; j < half; j++) {
      const c = conference[i * half + j]!;
      const at = 2 * i * order + 2 * j;
      matrix[at] = c === 0 ? 1 : c;
      matrix[at + 1] = c === 0 ? -1 : c;
      matrix[at + order] = c === 0 ? -1 : c;
      matrix[at + order + 1] = c === 0 ? -1 : -c;
    }
  }
  return matrix;
}

/** Builds [[0, 1ᵀ], [border·1, Q]] of order q + 1, Q[a, b] = χ(a − b) over GF(q). */
function borderedCharacterMatrix(q: number, border: 1 | -1): Int8Array {
  const { character, subtract } = finiteField(q);
  const order = q + 1;
  const matrix = new Int8Array(order * order);
  for (let j = 1; j < order; j++) {
    matrix[j] = 1;
    matrix[j * order] = border;
  }
  for (let a = 0; a < q; a++) {
    for (let b = 0; b < q; b++) matrix[(a + 1) * order + b + 1] = character[subtract(a, b)]!;
  }
  return matrix;
}
