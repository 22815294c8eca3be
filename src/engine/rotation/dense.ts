/**
 * This file multiplies dense row-major float64 matrices in plain loops along rows. Four rows of the right factor are
 * taken at a time: an element of the result is loaded and stored once per four products. Tiles of rows and columns stay
 * in cache.
 */

/** This many rows of the right factor stay in cache while they are reused. */
const TILE_DEPTH = 64;
const TILE_COLUMNS = 512;

/** A rectangle inside a larger row-major array. */
export interface View {
  readonly data: Float64Array;
  /** Index of the first element. */
  readonly offset: number;
  /** Elements from one row to the next. */
  readonly stride: number;
}

/** A view of a whole [n, columns] array. */
export function viewOf(data: Float64Array, columns: number): View {
  return { data, offset: 0, stride: columns };
}

/** Computes out[m, n] += factor · a[m, k] × b[k, n], or factor · a[k, m]ᵀ × b[k, n] with `transposeA`. */
export function addProduct(
  out: View,
  a: View,
  b: View,
  dims: { readonly m: number; readonly k: number; readonly n: number },
  factor = 1,
  transposeA = false,
): void {
  const { m, k, n } = dims;
  const rowStep = transposeA ? 1 : a.stride;
  const depthStep = transposeA ? a.stride : 1;
  const coefficients = new Float64Array(TILE_DEPTH);
  for (let column = 0; column < n; column += TILE_COLUMNS) {
    const width = Math.min(TILE_COLUMNS, n - column);
    for (let first = 0; first < k; first += TILE_DEPTH) {
      const depth = Math.min(TILE_DEPTH, k - first);
      const start = b.offset + first * b.stride + column;
      for (let i = 0; i < m; i++) {
        const source = a.offset + i * rowStep + first * depthStep;
        for (let p = 0; p < depth; p++) coefficients[p] = factor * a.data[source + p * depthStep]!;
        addRows(
          out.data,
          out.offset + i * out.stride + column,
          width,
          coefficients,
          b.data,
          start,
          b.stride,
          depth,
        );
      }
    }
  }
}

/** Computes target[0..width) += Σ_p coefficients[p] · source row p. */
function addRows(
  target: Float64Array,
  at: number,
  width: number,
  coefficients: Float64Array,
  source: Float64Array,
  start: number,
  stride: number,
  depth: number,
): void {
  let p = 0;
  for (; p + 4 <= depth; p += 4) {
    const c0 = coefficients[p]!;
    const c1 = coefficients[p + 1]!;
    const c2 = coefficients[p + 2]!;
    const c3 = coefficients[p + 3]!;
    const r0 = start + p * stride;
    const r1 = r0 + stride;
    const r2 = r1 + stride;
    const r3 = r2 + stride;
    for (let j = 0; j < width; j++) {
      target[at + j] =
        target[at + j]! +
        (c0 * source[r0 + j]! + c1 * source[r1 + j]! + (c2 * source[r2 + j]! + c3 * source[r3 + j]!));
    }
  }
  for (; p < depth; p++) {
    const c = coefficients[p]!;
    const row = start + p * stride;
    for (let j = 0; j < width; j++) target[at + j] = target[at + j]! + c * source[row + j]!;
  }
}

/** Computes a × b for square matrices of order n. */
export function multiply(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const out = new Float64Array(n * n);
  addProduct(viewOf(out, n), viewOf(a, n), viewOf(b, n), { m: n, k: n, n });
  return out;
}

/** Computes XᵀX for a square matrix: tiles on and below the diagonal are computed, the rest is mirrored. */
export function gram(x: Float64Array, n: number): Float64Array {
  const out = new Float64Array(n * n);
  const tile = 128;
  for (let row = 0; row < n; row += tile) {
    const m = Math.min(tile, n - row);
    const left: View = { data: x, offset: row, stride: n };
    const target: View = { data: out, offset: row * n, stride: n };
    addProduct(target, left, viewOf(x, n), { m, k: n, n: row + m }, 1, true);
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) out[j * n + i] = out[i * n + j]!;
  }
  return out;
}

/** Transposes a square matrix of order n. */
export function transpose(a: Float64Array, n: number): Float64Array {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) out[j * n + i] = a[i * n + j]!;
  }
  return out;
}

export function identity(n: number): Float64Array {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) out[i * n + i] = 1;
  return out;
}
