/**
 * T [n, n], lower triangular, with Tᵀ T = H + λI, λ = damping · mean(diag H): the Cholesky factor from the last index
 * down, as rounding errors are fed forward from the first. In exact arithmetic no pivot is below λ, so rounding may not
 * take one below it either. Loops in double precision, for runtimes without the native operator ReverseCholesky.
 * @param h symmetric and positive semi-definite [n, n]. Zero gives the identity.
 */
export function reverseCholesky(h: Float32Array, n: number, damping: number): Float32Array {
  const t = Float64Array.from(h);
  let trace = 0;
  for (let i = 0; i < n; i++) trace += t[i * n + i]!;
  if (trace === 0) return identity(n);
  const lambda = (damping * trace) / n;
  for (let i = 0; i < n; i++) t[i * n + i]! += lambda;
  for (let j = n - 1; j >= 0; j--) {
    const row = t.subarray(j * n, j * n + j + 1);
    const pivot = Math.sqrt(Math.max(row[j]!, lambda));
    row[j] = pivot;
    for (let k = 0; k < j; k++) row[k]! /= pivot;
    for (let a = 0; a < j; a++) subtractMultiple(t.subarray(a * n, a * n + a + 1), row[a]!, row);
  }
  return lowerTriangle(t, n);
}

function subtractMultiple(target: Float64Array, factor: number, row: Float64Array): void {
  for (let b = 0; b < target.length; b++) target[b]! -= factor * row[b]!;
}

function identity(n: number): Float32Array {
  const result = new Float32Array(n * n);
  for (let i = 0; i < n; i++) result[i * n + i] = 1;
  return result;
}

function lowerTriangle(t: Float64Array, n: number): Float32Array {
  const result = new Float32Array(n * n);
  for (let j = 0; j < n; j++) result.set(t.subarray(j * n, j * n + j + 1), j * n);
  return result;
}
