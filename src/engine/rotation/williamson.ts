import { CIRCULANT_ROWS } from './circulant-rows.ts';

/**
 * Builds a Hadamard matrix of order 4t by the Goethals–Seidel array (1967). It takes four circulant ±1 matrices
 * A, B, C, D of order t with AAᵀ + BBᵀ + CCᵀ + DDᵀ = 4tI; R is the back-identity:
 *
 *     [  A     BR     CR     DR  ]
 *     [ −BR    A      DᵀR   −CᵀR ]
 *     [ −CR   −DᵀR    A      BᵀR ]
 *     [ −DR    CᵀR   −BᵀR    A   ]
 *
 * Symmetric circulants (Williamson 1944) are the special case that needs no R; the array serves both.
 * @returns K×K entries ±1 row by row, or null when no rows are known here for K.
 */
export function goethalsSeidel(order: number): Int8Array | null {
  const t = order / 4;
  const rows = CIRCULANT_ROWS[t]?.map(parseSigns);
  if (rows === undefined) return null;
  const [a, b, c, d] = rows as [Int8Array, Int8Array, Int8Array, Int8Array];
  const blocks: readonly (readonly Block[])[] = [
    [plain(a, 1), reversed(b, 1), reversed(c, 1), reversed(d, 1)],
    [reversed(b, -1), plain(a, 1), reversedTranspose(d, 1), reversedTranspose(c, -1)],
    [reversed(c, -1), reversedTranspose(d, -1), plain(a, 1), reversedTranspose(b, 1)],
    [reversed(d, -1), reversedTranspose(c, 1), reversedTranspose(b, -1), plain(a, 1)],
  ];
  const matrix = new Int8Array(order * order);
  for (let row = 0; row < order; row++) {
    const i = row % t;
    const blockRow = blocks[(row - i) / t]!;
    for (let column = 0; column < order; column++) {
      const j = column % t;
      matrix[row * order + column] = blockRow[(column - j) / t]!(i, j, t);
    }
  }
  return matrix;
}

/** True when all four circulants for this order are symmetric, which is Williamson's case. */
export function isWilliamson(order: number): boolean {
  const rows = CIRCULANT_ROWS[order / 4]?.map(parseSigns) ?? [];
  return rows.length > 0 && rows.every((row) => row.every((value, i) => value === row.at(-i)));
}

type Block = (i: number, j: number, t: number) => number;

/** Makes the circulant X[i, j] = x[j − i]. */
function plain(row: Int8Array, sign: 1 | -1): Block {
  return (i, j, t) => sign * row[(j - i + t) % t]!;
}

/** Makes XR, with columns in reverse order: (XR)[i, j] = X[i, t − 1 − j]. */
function reversed(row: Int8Array, sign: 1 | -1): Block {
  return (i, j, t) => sign * row[(2 * t - 1 - j - i) % t]!;
}

/** Makes XᵀR. */
function reversedTranspose(row: Int8Array, sign: 1 | -1): Block {
  return (i, j, t) => sign * row[(i + j + 1) % t]!;
}

function parseSigns(text: string): Int8Array {
  return Int8Array.from(text, (character) => (character === '+' ? 1 : -1));
}
