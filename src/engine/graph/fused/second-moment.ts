import { apply, type OpDefinition, type Value } from '../graph.ts';
import { add } from '../ops/elementwise.ts';
import { gemm } from '../ops/matmul.ts';

/**
 * Computes S + XᵀX [n, n] of rows X [T, n] and a symmetric S [n, n]. The kernel computes one half of it and mirrors that;
 * of S it reads the lower triangle only.
 */
export const SecondMoment: OpDefinition = {
  name: 'SecondMoment',
  domain: 'spinquant',
  infer([rows, sum]) {
    if (sum!.dim(0) !== rows!.dim(1) || sum!.dim(1) !== rows!.dim(1))
      throw new Error(`SecondMoment: [${rows!.dims}] with [${sum!.dims}]`);
    return [{ dtype: sum!.dtype, dims: sum!.dims }];
  },
  compose: ([rows, sum]) => [add(sum!, gemm(rows!, rows!, { transA: true }))],
};

/** Computes S + XᵀX, see {@link SecondMoment}. The result may be written over S. */
export function addSecondMoment(rows: Value, sum: Value): Value {
  return apply(SecondMoment, [rows, sum]);
}
