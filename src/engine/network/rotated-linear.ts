import type { Node, OpDefinition, Value } from '../graph/graph.ts';
import { add } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { toReal } from '../graph/ops/shape.ts';
import {
  matrixOf,
  outerGradient,
  type SideTransform,
  timesTransform,
  timesTransposed,
  transposedTimesWeight,
} from './side-transform.ts';

/** One weight of a layer in the rotated network: Ŵ = Q(Lᵀ W A). */
export interface RotatedWeight {
  /** Ŵ [out, in], computed once per step and shared by forward pass and recomputation. */
  readonly prepared: Value;
  /** W [out, in] as the checkpoint has it. */
  readonly original: Value;
  /** L, the new basis of the outputs. */
  readonly left: SideTransform;
}

/**
 * y_i = x̂ Ŵ_iᵀ for weights that read the same x̂ [T, in], with the derivative with respect to the rotations.
 *
 * Straight through the weight quantizer ∂Ŵ = ∂yᵀ x̂. From M = Lᵀ W A follow
 *   ∂A = (u W)ᵀ x̂  with u = ∂y Lᵀ,      ∂L = (x̂ Aᵀ Wᵀ)ᵀ ∂y,
 * so the [out, in] gradient of the weight is never formed, and the products u W of all weights are summed before
 * the one product with x̂.
 * @param whole the same products, if whole numbers were multiplied for them; their derivative is that of x̂ Ŵ_iᵀ.
 */
export function rotatedLinears(
  x: Value,
  weights: readonly RotatedWeight[],
  right: SideTransform,
  whole: readonly Value[] = [],
): Value[] {
  const matrices = [right, ...weights.map((weight) => weight.left)].flatMap((t) => matrixOf(t) ?? []);
  const inputs = [
    x,
    ...weights.flatMap((weight) => [weight.prepared, weight.original]),
    ...new Set(matrices),
    ...whole,
  ];
  return x.graph.apply(rotatedLinearOp(weights, right, whole.length > 0), inputs);
}

function rotatedLinearOp(
  weights: readonly RotatedWeight[],
  right: SideTransform,
  isWhole: boolean,
): OpDefinition {
  return {
    name: 'RotatedLinear',
    domain: 'spinquant',
    composedOnly: true,
    infer: ([x]) => weights.map(({ prepared }) => ({ dtype: x!.dtype, dims: [x!.dim(0), prepared.dim(0)] })),
    compose: (inputs) =>
      isWhole
        ? inputs.slice(-weights.length)
        : weights.map((_, index) => gemm(inputs[0]!, inputs[1 + 2 * index]!, { transB: true })),
    gradient(node, gradients, wanted) {
      const sums = new Map<Value, Value>();
      const accumulate = (value: Value, gradient: Value | null): void => {
        if (!gradient || !wanted[node.inputs.indexOf(value)]) return;
        const before = sums.get(value);
        sums.set(value, before ? add(before, gradient) : gradient);
      };
      differentiate(node, gradients, weights, right, accumulate);
      return node.inputs.map((input) => sums.get(input) ?? null);
    },
  };
}

function differentiate(
  node: Node,
  gradients: readonly (Value | null)[],
  weights: readonly RotatedWeight[],
  right: SideTransform,
  accumulate: (value: Value, gradient: Value | null) => void,
): void {
  const x = node.inputs[0]!;
  const needsLeft = weights.some(({ left }) => matrixOf(left) !== null);
  const learned = matrixOf(right);
  const unrotated = needsLeft ? timesTransposed(x, right) : null;
  let products: Value | null = null;
  weights.forEach(({ prepared, original, left }, index) => {
    const dy = gradients[index];
    if (!dy) return;
    accumulate(x, gemm(dy, prepared));
    const w = toReal(original);
    if (learned) {
      const uw = gemm(timesTransposed(dy, left), w);
      products = products ? add(products, uw) : uw;
    }
    const ofLeft = matrixOf(left);
    if (unrotated && ofLeft) {
      accumulate(ofLeft, outerGradient(gemm(unrotated, w, { transB: true }), dy, left));
    }
  });
  if (products && learned) accumulate(learned, outerGradient(products, x, right));
}

/** Lᵀ W A [out, in] in the graph's real type: the weight in its new bases, before rounding. */
export function rotateWeight(w: Value, left: SideTransform, right: SideTransform): Value {
  return transposedTimesWeight(left, timesTransform(toReal(w), right));
}
