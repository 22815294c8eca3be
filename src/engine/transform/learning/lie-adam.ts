import { float32, type HostTensor } from '../../../protocol/tensor.ts';
import type { Graph, Value } from '../../graph/graph.ts';
import { add, div, mul, scale, sqrt, sub } from '../../graph/ops/elementwise.ts';
import { matmul } from '../../graph/ops/matmul.ts';
import { reduceMean } from '../../graph/ops/reduce.ts';
import { transposeLast } from '../../graph/ops/shape.ts';

/** Decay of the moving averages of the gradient and of its mean square. */
const BETA1 = 0.9;
const BETA2 = 0.99;
const EPSILON = 1e-20;

/** Moving averages: m [N, n, n] skew, v [N, 1, 1], one number per rotation so that no basis is preferred. */
export interface LieAdamState {
  readonly m: Value;
  readonly v: Value;
}

type StepRates<T> = Readonly<Record<'rate' | 'correction1' | 'correction2', T>>;

/**
 * One step of Adam in the Lie algebra of rotations: A = ½(RᵀG − GᵀR) is the gradient as an infinitesimal rotation, its
 * moving averages give Â = m̂/√v̂, and R(I − ηÂ/√n) is taken back to the manifold by one quintic Newton–Schulz pass
 * Y(15I − 10S + 3S²)/8, S = YᵀY. ‖ηÂ/√n‖₂ is about 2η, for which one pass leaves an error near 1e-7. Only products.
 *
 * @param r rotations [N, n, n]. @param g ∂loss/∂R. @param rate η, a scalar.
 * @param correction1 1 − β₁^step, correction2 1 − β₂^step: scalars.
 */
export function lieAdamStep(
  r: Value,
  g: Value,
  state: LieAdamState,
  { rate, correction1, correction2 }: StepRates<Value>,
): { r: Value; state: LieAdamState } {
  const { graph } = r;
  const product = matmul(transposeLast(r), g);
  const a = scale(sub(product, transposeLast(product)), 0.5);
  const m = add(scale(state.m, BETA1), scale(a, 1 - BETA1));
  const v = add(scale(state.v, BETA2), scale(reduceMean(mul(a, a), [1, 2]), 1 - BETA2));
  const size = sqrt(add(div(v, correction2), graph.scalar(EPSILON)));
  const direction = div(div(m, correction1), size);
  const step = mul(direction, scale(rate, 1 / Math.sqrt(r.dim(-1))));
  return { r: newtonSchulz(sub(r, matmul(r, step))), state: { m, v } };
}

/** Y(15I − 10S + 3S²)/8 with S = YᵀY: cubic convergence to the nearest orthogonal matrix. */
export function newtonSchulz(y: Value): Value {
  const s = matmul(transposeLast(y), y);
  const series = sub(scale(matmul(s, s), 3 / 8), scale(s, 10 / 8));
  return add(scale(y, 15 / 8), matmul(y, series));
}

/** The scalars of a step as program inputs. */
export function stepInputs(graph: Graph): StepRates<Value> {
  return {
    rate: graph.input('rate', []),
    correction1: graph.input('correction1', []),
    correction2: graph.input('correction2', []),
  };
}

/** Their values. @param step counted from 0; corrections are 1 − β^(step + 1). */
export function stepTensors(step: number, learningRate: number): StepRates<HostTensor> {
  const scalar = (value: number) => float32([], Float32Array.of(value));
  return {
    rate: scalar(learningRate),
    correction1: scalar(1 - BETA1 ** (step + 1)),
    correction2: scalar(1 - BETA2 ** (step + 1)),
  };
}
