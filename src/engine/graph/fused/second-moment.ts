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

/**
 * Computes S + XᵀX, see {@link SecondMoment}. The result may be written over S.
 * @param pieces one, where the processor may round each x to the nearest number of bfloat16 first if it multiplies those
 * faster, which moves a product by at most 2⁻⁷ of it. The result stays the second moment of real rows: it has no
 * negative eigenvalue but for the rounding of sums.
 */
export function addSecondMoment(rows: Value, sum: Value, pieces: 1 | 3 = 3): Value {
  return apply(SecondMoment, [rows, sum], { pieces });
}
