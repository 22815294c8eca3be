import { apply, floatAttribute, type OpDefinition, type Value } from '../graph.ts';
import { abs, add, div, mul, scale, sign, sqrt, sub } from '../ops/elementwise.ts';
import { reduceMean, reduceSum, softmax } from '../ops/reduce.ts';

/**
 * The loss is a smooth form of the largest deviation of a token y [..., n] (InfoQuant's soft peak). With
 * a = |y − mean(y)| and s = softmax(a / T), loss = √(Σ (s∘a)² + ε), [..., 1].
 */
export const PeakLoss: OpDefinition = {
  name: 'PeakLoss',
  domain: 'spinquant',
  infer: ([y]) => [{ dtype: y!.dtype, dims: [...y!.dims.slice(0, -1), 1] }],
  gradient: (node, [dloss]) => [apply(PeakLossGrad, [node.inputs[0]!, dloss!], node.attributes)],
  compose([y], attributes) {
    const { weighted } = parts(y!, floatAttribute(attributes, 'temperature'));
    return [lossOf(weighted, floatAttribute(attributes, 'epsilon'))];
  },
};

/**
 * With w = s∘a, g = w / loss and G = Σ g∘w: d = ∂loss·sign(y − mean(y))·(g∘s + (g∘w − s·G)/T), and ∂y = d − mean(d).
 */
export const PeakLossGrad: OpDefinition = {
  name: 'PeakLossGrad',
  domain: 'spinquant',
  infer: ([y]) => [{ dtype: y!.dtype, dims: y!.dims }],
  compose([y, dloss], attributes) {
    const temperature = floatAttribute(attributes, 'temperature');
    const { centred, score, weighted } = parts(y!, temperature);
    const g = div(weighted, lossOf(weighted, floatAttribute(attributes, 'epsilon')));
    const along = mul(g, weighted);
    const throughScore = scale(sub(along, mul(score, reduceSum(along, [-1]))), 1 / temperature);
    const d = mul(mul(dloss!, sign(centred)), add(mul(g, score), throughScore));
    return [sub(d, reduceMean(d, [-1]))];
  },
};

function parts(y: Value, temperature: number) {
  const centred = sub(y, reduceMean(y, [-1]));
  const deviation = abs(centred);
  const score = softmax(scale(deviation, 1 / temperature));
  return { centred, score, weighted: mul(score, deviation) };
}

function lossOf(weighted: Value, epsilon: number): Value {
  return sqrt(add(reduceSum(mul(weighted, weighted), [-1]), weighted.graph.scalar(epsilon)));
}

export function peakLoss(y: Value, temperature: number, epsilon: number): Value {
  return apply(PeakLoss, [y], { temperature: { float: temperature }, epsilon: { float: epsilon } });
}
