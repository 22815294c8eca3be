/** T⁻¹ of a lower triangular T [n, n], in double precision, rounded once. */
export function inverseOfLower(t: Float32Array, n: number): Float32Array {
  const inverse = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = i === j ? 1 : 0;
      for (let k = j; k < i; k++) sum -= t[i * n + k]! * inverse[k * n + j]!;
      inverse[i * n + j] = sum / t[i * n + i]!;
    }
  }
  return Float32Array.from(inverse);
}
