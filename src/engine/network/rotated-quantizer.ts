import { type ActivationQuantizer, fakeQuantize } from '../graph/fused/fake-quantize.ts';
import { byteCodes, hasByteCodes } from '../graph/fused/row-codes.ts';
import { apply, type OpDefinition, type Value } from '../graph/graph.ts';
import { add, div, mul } from '../graph/ops/elementwise.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { inverseTransposed, type SideTransform, timesTransform, timesTransposed } from './side-transform.ts';

/** Called with Q(x R) as codes int8 [T, n] and scales [T]. */
export type KeepCodes = (codes: Value, scales: Value) => void;

/**
 * x̂ = Q(x R) Rᵀ for rows x [T, n] and an orthogonal R [n, n]: rounded in the basis of R, and back.
 * @param keep given where Q(x R) is to go through codes of a byte, if it has such.
 */
export function quantizeRotated(
  x: Value,
  r: Value,
  quantizer: ActivationQuantizer,
  keep: KeepCodes | null = null,
): Value {
  const rotated = gemm(x, r);
  // The derivative through the scale of Q is not the identity: it goes the long way.
  if (quantizer.scaleGradient) return gemm(fakeQuantize(rotated, quantizer), r, { transB: true });
  if (!keep || !hasByteCodes(quantizer, rotated.dim(-1)))
    return apply(RotateBack, [x, fakeQuantize(rotated, quantizer), r]);
  const { codes, scales, rounded } = byteCodes(rotated, quantizer);
  keep(codes, scales);
  return apply(RotateBack, [x, rounded, r]);
}

/**
 * x̂ = Q(x R S) S⁻¹ Rᵀ for rows x [T, n], an orthogonal R and scales S [n]. The derivative passes all of it: what S turns
 * up is rounded the finer, and lets the less of it through.
 */
export function quantizeScaled(
  x: Value,
  rotation: SideTransform,
  scales: Value,
  quantizer: ActivationQuantizer,
): Value {
  const rounded = fakeQuantize(mul(timesTransform(x, rotation), scales), quantizer);
  return timesTransposed(div(rounded, scales), rotation);
}

/** x̂ = Q(x H) H⁻¹ for rows x [T, n] and a map H: a fixed one, or one behind scales that may be learned. */
export function quantizeTransformed(x: Value, map: SideTransform, quantizer: ActivationQuantizer): Value {
  if (map.kind === 'identity') return fakeQuantize(x, quantizer);
  const rounded = fakeQuantize(timesTransform(x, map), quantizer);
  const back = timesTransposed(rounded, inverseTransposed(map));
  return quantizer.scaleGradient || 'gain' in map ? back : apply(StraightThrough, [x, back]);
}

/** The second input with the derivative of the first: H and H⁻¹ cancel in ∂loss/∂x = g, so neither is applied. */
const StraightThrough: OpDefinition = {
  name: 'StraightThrough',
  domain: 'spinquant',
  composedOnly: true,
  infer: ([x]) => [{ dtype: x!.dtype, dims: x!.dims }],
  compose: ([, y]) => [y!],
  gradient: (_node, [g]) => [g!, null],
};

/**
 * û Rᵀ with the derivative of the whole, given that û = Q(u) moves as u = x R does, and that R is orthogonal. With
 * g = ∂loss/∂x̂ follow
 *   ∂loss/∂x = g R Rᵀ = g,      ∂loss/∂R = xᵀ (g R) + gᵀ û = (xᵀ g) R + gᵀ û,
 * so the backward pass takes two products over the tokens instead of four (three for fewer tokens than channels).
 */
const RotateBack: OpDefinition = {
  name: 'RotateBack',
  domain: 'spinquant',
  composedOnly: true,
  infer: ([x]) => [{ dtype: x!.dtype, dims: x!.dims }],
  compose: ([, rounded, r]) => [gemm(rounded!, r!, { transB: true })],
  gradient(node, [g], wanted) {
    const [x, rounded, r] = node.inputs as [Value, Value, Value];
    if (!wanted[2]) return [g!, null, null];
    const [tokens, width] = x.dims as [number, number];
    const throughInput =
      tokens < width ? gemm(x, gemm(g!, r), { transA: true }) : gemm(gemm(x, g!, { transA: true }), r);
    return [g!, null, add(throughInput, gemm(g!, rounded, { transA: true }))];
  },
};
