import { elementCount } from '../../../protocol/tensor.ts';
import { apply, intAttribute, type OpDefinition, type Value } from '../graph.ts';
import { mul } from '../ops/elementwise.ts';
import { gemm, matmul } from '../ops/matmul.ts';
import { reshape, slice, transpose } from '../ops/shape.ts';

/**
 * Rows x [..., n] times diag(s) (L ⊗ R) (FlatQuant, Sun et al. 2025): a row, taken as a matrix X [n₁, n₂], goes to
 * Lᵀ (s ∘ X) R. Inputs are x and a vector of numbers that begins with s [n], L [n₁, n₁] and R [n₂, n₂], row-major; what
 * follows is not read. Attribute `left` is n₁.
 */
export const Kronecker: OpDefinition = {
  name: 'Kronecker',
  domain: 'spinquant',
  infer: ([x]) => [{ dtype: x!.dtype, dims: x!.dims }],
  compose([x, numbers], attributes) {
    const n = x!.dim(-1);
    const n1 = intAttribute(attributes, 'left');
    const n2 = n / n1;
    let start = 0;
    const [gain, left, right] = [[n], [n1, n1], [n2, n2]].map((dims) => {
      const first = start;
      start += elementCount(dims);
      return reshape(slice(numbers!, 0, first, start), dims);
    }) as [Value, Value, Value];
    const tokens = elementCount(x!.dims) / n;
    const inner = gemm(reshape(mul(x!, gain), [tokens * n1, n2]), right);
    const y = matmul(transpose(left, [1, 0]), reshape(inner, [tokens, n1, n2]));
    return [reshape(y, x!.dims)];
  },
};

/** @param numbers of a map whose left factor is [n₁, n₁]. */
export function kronecker(x: Value, numbers: Value, n1: number): Value {
  return apply(Kronecker, [x, numbers], { left: n1 });
}
