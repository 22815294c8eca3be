/** Eigenvalues and eigenvectors of symmetric matrices, in double precision and plain loops. */

export interface Eigen {
  /** Largest first. */
  readonly values: Float64Array;
  /** [n, n], row-major: row i is the vector of value i, of length 1. */
  readonly vectors: Float64Array;
}

/** A value needs two or three passes. */
const MOST_PASSES = 50;

interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** Element i stands between i and i + 1; the last one is 0. */
  readonly beside: Float64Array;
  /** [n, n], row-major: A = Bᵀ T B. */
  readonly basis: Float64Array;
}

/**
 * Householder's reduction to a tridiagonal matrix, and implicit QL steps with Wilkinson's shift (Golub and Van Loan,
 * Matrix Computations, 8.3), about 9 n³ operations.
 * @param matrix [n, n], symmetric, row-major.
 * @throws Error where QL does not converge, as with numbers that are not finite.
 */
export function symmetricEigen(matrix: Float64Array, n: number): Eigen {
  const { diagonal, beside, basis } = tridiagonal(matrix, n);
  for (let first = 0; first < n; first++) {
    for (let pass = 0; ; pass++) {
      const end = blockEnd(diagonal, beside, first);
      if (end === first) break;
      if (pass === MOST_PASSES) throw new Error('eigenvalues do not converge');
      qlStep(diagonal, beside, basis, first, end);
    }
  }
  const order = Array.from(diagonal.keys()).sort((a, b) => diagonal[b]! - diagonal[a]!);
  const vectors = new Float64Array(n * n);
  order.forEach((from, to) => {
    vectors.set(basis.subarray(from * n, (from + 1) * n), to * n);
  });
  return { values: Float64Array.from(order, (index) => diagonal[index]!), vectors };
}

function tridiagonal(matrix: Float64Array, n: number): Tridiagonal {
  const a = matrix.slice();
  const beside = new Float64Array(n);
  const reflectors: { readonly v: Float64Array; readonly beta: number }[] = [];
  for (let k = 0; k < n - 1; k++) {
    const v = new Float64Array(n);
    let square = 0;
    for (let i = k + 1; i < n; i++) {
      v[i] = a[i * n + k]!;
      square += v[i]! ** 2;
    }
    const lead = v[k + 1]!;
    beside[k] = lead > 0 ? -Math.sqrt(square) : Math.sqrt(square);
    v[k + 1] = lead - beside[k]!;
    const length = square - lead ** 2 + v[k + 1]! ** 2;
    const beta = length > 0 ? 2 / length : 0;
    reflectors.push({ v, beta });
    reflectBothSides(a, n, k + 1, v, beta);
  }
  const diagonal = Float64Array.from({ length: n }, (_, i) => a[i * n + i]!);
  return { diagonal, beside, basis: productOf(reflectors, n) };
}

/** A ← H A H on rows and columns from `first` on, H = I − β v vᵀ: A − v wᵀ − w vᵀ, w = βAv − ½β²(vᵀAv) v. */
function reflectBothSides(a: Float64Array, n: number, first: number, v: Float64Array, beta: number): void {
  const w = new Float64Array(n);
  let along = 0;
  for (let i = first; i < n; i++) {
    let sum = 0;
    for (let j = first; j < n; j++) sum += a[i * n + j]! * v[j]!;
    w[i] = beta * sum;
    along += w[i]! * v[i]!;
  }
  for (let i = first; i < n; i++) w[i] = w[i]! - 0.5 * beta * along * v[i]!;
  for (let i = first; i < n; i++) {
    const [vi, wi] = [v[i]!, w[i]!];
    for (let j = first; j < n; j++) a[i * n + j] = a[i * n + j]! - vi * w[j]! - wi * v[j]!;
  }
}

/** H_last … H_1 H_0. */
function productOf(reflectors: readonly { v: Float64Array; beta: number }[], n: number): Float64Array {
  const basis = new Float64Array(n * n);
  for (let i = 0; i < n; i++) basis[i * n + i] = 1;
  for (let k = reflectors.length - 1; k >= 0; k--) {
    const { v, beta } = reflectors[k]!;
    for (let row = k + 1; row < n; row++) {
      let sum = 0;
      for (let j = k + 1; j < n; j++) sum += basis[row * n + j]! * v[j]!;
      for (let j = k + 1; j < n; j++) basis[row * n + j] = basis[row * n + j]! - beta * sum * v[j]!;
    }
  }
  return basis;
}

/** The last index of the block from `first` on that no vanishing element divides. */
function blockEnd(diagonal: Float64Array, beside: Float64Array, first: number): number {
  let end = first;
  while (end < diagonal.length - 1) {
    const around = Math.abs(diagonal[end]!) + Math.abs(diagonal[end + 1]!);
    if (Math.abs(beside[end]!) <= Number.EPSILON * around) break;
    end++;
  }
  return end;
}

/** One implicit QL step of the block first … end, whose plane rotations go into the rows of the basis. */
function qlStep(d: Float64Array, e: Float64Array, basis: Float64Array, first: number, end: number): void {
  const half = (d[first + 1]! - d[first]!) / (2 * e[first]!);
  const root = Math.hypot(half, 1);
  let g = d[end]! - d[first]! + e[first]! / (half + (half < 0 ? -root : root));
  let [sine, cosine, taken] = [1, 1, 0];
  for (let i = end - 1; i >= first; i--) {
    const [f, b] = [sine * e[i]!, cosine * e[i]!];
    const r = Math.hypot(f, g);
    e[i + 1] = r;
    if (r === 0) {
      d[i + 1] = d[i + 1]! - taken;
      e[end] = 0;
      return;
    }
    [sine, cosine] = [f / r, g / r];
    const shifted = d[i + 1]! - taken;
    const t = (d[i]! - shifted) * sine + 2 * cosine * b;
    taken = sine * t;
    d[i + 1] = shifted + taken;
    g = cosine * t - b;
    turnRows(basis, d.length, i, sine, cosine);
  }
  d[first] = d[first]! - taken;
  e[first] = g;
  e[end] = 0;
}

/** Rows i and i + 1 ← cosine · i − sine · (i + 1), sine · i + cosine · (i + 1). */
function turnRows(basis: Float64Array, n: number, i: number, sine: number, cosine: number): void {
  const upper = basis.subarray(i * n, (i + 1) * n);
  const lower = basis.subarray((i + 1) * n, (i + 2) * n);
  for (let j = 0; j < n; j++) {
    const [a, b] = [upper[j]!, lower[j]!];
    upper[j] = cosine * a - sine * b;
    lower[j] = sine * a + cosine * b;
  }
}
