import type { OpDefinition, Value } from '../graph.ts';
import { gemm } from '../ops/matmul.ts';
import { toReal } from '../ops/shape.ts';

/** The most rows that {@link StoredRows} is for: for more of them, converting the matrix once is faster. */
export const MOST_STORED_ROWS = 4;

/** Computes y = x Wᵀ [T, N] of some rows x [T, K] and a bfloat16 matrix W [N, K] as it is stored, with sums in float32. */
export const StoredRows: OpDefinition = {
  name: 'StoredRows',
  domain: 'spinquant',
  infer: ([x, w]) => [{ dtype: x!.dtype, dims: [x!.dim(0), w!.dim(0)] }],
  compose: ([x, w]) => [gemm(x!, toReal(w!), { transB: true })],
};

/** x Wᵀ. @param w bfloat16 [N, K]. */
export function storedRows(x: Value, w: Value): Value {
  return x.graph.apply(StoredRows, [x, w])[0]!;
}
