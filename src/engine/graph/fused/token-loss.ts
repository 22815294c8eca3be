import { apply, type OpDefinition, type Value } from '../graph.ts';
import { equal, exp, less, mul, sub, where } from '../ops/elementwise.ts';
import { logSumExp, reduceSum } from '../ops/reduce.ts';
import { cast, reshape } from '../ops/shape.ts';

/** Computes the next-token negative log-likelihood per row of logits [T, V]. Negative labels do not count: loss 0. */
export const TokenLoss: OpDefinition = {
  name: 'TokenLoss',
  domain: 'spinquant',
  infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: [inputs[0]!.dim(0)] }],
  gradient: (node, [dy]) => [tokenLossGradient(node.inputs[0]!, node.inputs[1]!, dy!)[0], null],
  compose(inputs) {
    const [logits, labels] = inputs as [Value, Value];
    return [lossOf(logits, labels, logSumExp(logits))];
  },
};

/** ∂logits = ∂loss·(softmax(logits) − onehot(label)). The loss is a second output, since it costs nothing here. */
export const TokenLossGrad: OpDefinition = {
  name: 'TokenLossGrad',
  domain: 'spinquant',
  infer: ([logits]) => [
    { dtype: logits!.dtype, dims: logits!.dims },
    { dtype: logits!.dtype, dims: [logits!.dim(0)] },
  ],
  compose(inputs) {
    const [logits, labels, dloss] = inputs as [Value, Value, Value];
    const g = logits.graph;
    const normalizer = logSumExp(logits);
    const probabilities = exp(sub(logits, normalizer));
    const target = cast(oneHot(logits, labels), g.real);
    const counted = where(less(labels, g.scalar(0, 'int64')), g.scalar(0), dloss);
    const dlogits = mul(sub(probabilities, target), reshape(counted, [logits.dim(0), 1]));
    return [dlogits, lossOf(logits, labels, normalizer)];
  },
};

/** @param normalizer ln Σ e^logit [T, 1]. */
function lossOf(logits: Value, labels: Value, normalizer: Value): Value {
  const g = logits.graph;
  const picked = reduceSum(where(oneHot(logits, labels), logits, g.scalar(0)), [1], false);
  const loss = sub(reshape(normalizer, [logits.dim(0)]), picked);
  return where(less(labels, g.scalar(0, 'int64')), g.scalar(0), loss);
}

/** Returns bool [T, V]: true where the column equals the label. */
function oneHot(logits: Value, labels: Value): Value {
  const columns = logits.graph.ints(Array.from({ length: logits.dim(1) }, (_, column) => column));
  return equal(reshape(labels, [logits.dim(0), 1]), columns);
}

/** @param labels int64 [T]. @returns loss [T] in nats. */
export function tokenLoss(logits: Value, labels: Value): Value {
  return apply(TokenLoss, [logits, labels]);
}

/** @param dloss ∂/∂loss [T]. @returns ∂/∂logits [T, V] and the loss [T]. */
export function tokenLossGradient(logits: Value, labels: Value, dloss: Value): [Value, Value] {
  return logits.graph.apply(TokenLossGrad, [logits, labels, dloss]) as [Value, Value];
}
