import { apply, type OpDefinition, type Value } from '../graph.ts';
import { gemm } from '../ops/matmul.ts';
import { toReal } from '../ops/shape.ts';
import { TokenLoss } from './token-loss.ts';

/**
 * The next-token negative log-likelihood [T] of x [T, d] with a bfloat16 output layer [V, d] as it is stored, sums in
 * float32: {@link TokenLoss} of logits that are never in memory together. Negative labels do not count: loss 0.
 */
export const HeadLoss: OpDefinition = {
  name: 'HeadLoss',
  domain: 'spinquant',
  infer: ([x]) => [{ dtype: x!.dtype, dims: [x!.dim(0)] }],
  compose: ([x, head, labels]) =>
    TokenLoss.compose!([gemm(x!, toReal(head!), { transB: true }), labels!], {}),
};

/** @param head bfloat16 [V, d]. @param labels int64 [T]. @returns loss [T] in nats. */
export function headLoss(x: Value, head: Value, labels: Value): Value {
  return apply(HeadLoss, [x, head, labels]);
}
