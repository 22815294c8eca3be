import { Breath } from '../../runtime/breath.ts';
import { BLOCK } from './e8p.ts';

/**
 * L of H = L D Lᵀ, with D block-diagonal and L unit block-lower of blocks of eight, from a Cholesky factor.
 * @param t T [n, n], lower triangular with TᵀT = JHJ, J the reversal of indices: then C = J Tᵀ J is lower triangular,
 * H = C Cᵀ, and L_ik = C_ik C_kk⁻¹.
 * @returns L by columns of blocks [n/8, n, 8], zeros above the blocks of its diagonal.
 */
export async function blockFeedback(t: Float32Array, n: number, signal?: AbortSignal): Promise<Float32Array> {
  const breath = new Breath(signal);
  const result = new Float32Array(n * n);
  const cholesky = (i: number, j: number): number => t[(n - 1 - j) * n + (n - 1 - i)]!;
  const row = new Float64Array(BLOCK);
  for (let start = 0; start < n; start += BLOCK) {
    for (let i = start + BLOCK; i < n; i++) {
      for (let c = BLOCK - 1; c >= 0; c--) {
        let value = cholesky(i, start + c);
        for (let d = c + 1; d < BLOCK; d++) value -= row[d]! * cholesky(start + d, start + c);
        row[c] = value / cholesky(start + c, start + c);
      }
      result.set(row, start * n + i * BLOCK);
    }
    for (let c = 0; c < BLOCK; c++) result[start * n + (start + c) * BLOCK + c] = 1;
    await breath.draw();
  }
  return result;
}

/**
 * What coordinate descent moves a block by: H_{:,k} H_kk⁻¹ of H + λI, by columns of blocks [n/8, n, 8].
 * @param h H [n, n], positive semi-definite.
 */
export async function blockGain(
  h: Float32Array,
  n: number,
  lambda: number,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const breath = new Breath(signal);
  const result = new Float32Array(n * n);
  for (let start = 0; start < n; start += BLOCK) {
    const inverse = inverseOfBlock(h, n, start, lambda);
    for (let i = 0; i < n; i++)
      for (let c = 0; c < BLOCK; c++) {
        const shifted = i - start;
        let value = shifted >= 0 && shifted < BLOCK ? lambda * inverse[shifted * BLOCK + c]! : 0;
        for (let d = 0; d < BLOCK; d++) value += h[i * n + start + d]! * inverse[d * BLOCK + c]!;
        result[start * n + i * BLOCK + c] = value;
      }
    await breath.draw();
  }
  return result;
}

/** (H_kk + λI)⁻¹ [8, 8] by elimination; it is positive definite, so that no pivot is zero. */
function inverseOfBlock(h: Float32Array, n: number, start: number, lambda: number): Float64Array {
  const wide = 2 * BLOCK;
  const rows = Array.from({ length: BLOCK }, (_, i) =>
    Float64Array.from({ length: wide }, (_, j) =>
      j < BLOCK ? h[(start + i) * n + start + j]! + (i === j ? lambda : 0) : Number(j - BLOCK === i),
    ),
  );
  for (const [pivot, own] of rows.entries()) {
    const divisor = own[pivot]!;
    for (let j = 0; j < wide; j++) own[j]! /= divisor;
    for (const [i, other] of rows.entries()) {
      if (i === pivot) continue;
      const factor = other[pivot]!;
      for (let j = 0; j < wide; j++) other[j]! -= factor * own[j]!;
    }
  }
  return Float64Array.from({ length: BLOCK * BLOCK }, (_, at) => rows[at >> 3]![BLOCK + (at & 7)]!);
}
