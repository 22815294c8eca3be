/** Square matrices [n, n] of a few dozen rows, row-major float64. */

/** A⁻¹ by Gauss-Jordan elimination with pivots of the column; null where none is there. */
export function inverse(a: Float64Array): Float64Array | null {
  const n = Math.sqrt(a.length);
  const work = Float64Array.from(a);
  const found = new Float64Array(a.length);
  for (let i = 0; i < n; i++) found[i * n + i] = 1;
  for (let column = 0; column < n; column++) {
    const pivot = pivotOf(work, n, column);
    const divisor = work[pivot * n + column]!;
    if (!(Math.abs(divisor) > 0) || !Number.isFinite(divisor)) return null;
    for (const m of [work, found]) {
      swapRows(m, n, pivot, column);
      for (let j = 0; j < n; j++) m[column * n + j]! /= divisor;
    }
    clearColumn(work, found, n, column);
  }
  return found.every(Number.isFinite) ? found : null;
}

/** Takes multiples of a row from all others, so that its column is empty there; the same of what is found. */
function clearColumn(work: Float64Array, found: Float64Array, n: number, column: number): void {
  for (let row = 0; row < n; row++) {
    const factor = row === column ? 0 : work[row * n + column]!;
    if (factor === 0) continue;
    for (let j = 0; j < n; j++) {
      work[row * n + j]! -= factor * work[column * n + j]!;
      found[row * n + j]! -= factor * found[column * n + j]!;
    }
  }
}

/** The row from the diagonal down with the largest number of a column. */
function pivotOf(a: Float64Array, n: number, column: number): number {
  let pivot = column;
  for (let row = column + 1; row < n; row++)
    if (Math.abs(a[row * n + column]!) > Math.abs(a[pivot * n + column]!)) pivot = row;
  return pivot;
}

function swapRows(a: Float64Array, n: number, one: number, other: number): void {
  if (one === other) return;
  const row = a.slice(one * n, (one + 1) * n);
  a.copyWithin(one * n, other * n, (other + 1) * n);
  a.set(row, other * n);
}

export function transposed(a: Float64Array): Float64Array {
  const n = Math.sqrt(a.length);
  return a.map((_, i) => a[(i % n) * n + Math.floor(i / n)]!);
}

/** A B. */
export function product(a: Float64Array, b: Float64Array): Float64Array {
  const n = Math.sqrt(a.length);
  const c = new Float64Array(a.length);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < n; k++) {
      const factor = a[i * n + k]!;
      for (let j = 0; j < n; j++) c[i * n + j]! += factor * b[k * n + j]!;
    }
  return c;
}
