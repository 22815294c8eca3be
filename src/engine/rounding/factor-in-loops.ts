import { Breath } from '../runtime/breath.ts';

/**
 * T [n, n], lower triangular, with Tᵀ T = H + λI, λ = damping · mean(diag H): the Cholesky factor from the last index
 * down, as rounding errors are fed forward from the first. In exact arithmetic no pivot is below λ, so rounding may not
 * take one below it either. Sums in double precision, T rounded once to float32. Loops, for runtimes without the native
 * operator ReverseCholesky.
 * @param h symmetric and positive semi-definite [n, n], of which the lower triangle is read. Zero gives the identity.
 * @param t where T goes [n, n].
 */
export async function factorInLoops(
  h: Float32Array,
  n: number,
  damping: number,
  t: Float32Array,
  signal?: AbortSignal,
): Promise<void> {
  const breath = new Breath(signal);
  let trace = 0;
  for (let i = 0; i < n; i++) trace += h[i * n + i]!;
  const lambda = trace === 0 ? 1 : (damping * trace) / n;
  t.fill(0);
  for (let j = n - 1; j >= 0; j--) {
    const sums = Float64Array.from(h.subarray(j * n, j * n + j + 1));
    sums[j]! += lambda;
    for (let i = j + 1; i < n; i++) subtractMultiple(sums, t[i * n + j]!, t.subarray(i * n, i * n + j + 1));
    const pivot = Math.fround(Math.sqrt(Math.max(sums[j]!, lambda)));
    for (let k = 0; k < j; k++) t[j * n + k] = sums[k]! / pivot;
    t[j * n + j] = pivot;
    await breath.draw();
  }
}

function subtractMultiple(target: Float64Array, factor: number, row: Float32Array): void {
  for (let k = 0; k < target.length; k++) target[k]! -= factor * row[k]!;
}
