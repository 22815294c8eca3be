import { elementCount } from '../../../protocol/tensor.ts';
import { apply, floatAttribute, intAttribute, type Node, type OpDefinition, type Value } from '../graph.ts';
import { mul } from '../ops/elementwise.ts';
import { gemm } from '../ops/matmul.ts';
import { reshape, toReal } from '../ops/shape.ts';
import type { Rewrite } from '../rebuild.ts';

/** Below this many multiply-adds, sharing out the work takes longer than it saves. */
const FEWEST_PRODUCTS = 2 ** 18;

/** Bfloat16 rows with a factor each, where they are codes of quantized weights. */
export interface ScaledRows {
  /** [rows, columns], bfloat16. */
  readonly codes: Value;
  /** [rows], or null for factors of 1. */
  readonly scale: Value | null;
}

/**
 * C = A op(diag(s) B), A float32 [M, K], B bfloat16, s float32 or absent. Products are exact, sums float32
 * (native-kernels/gemm_bfloat16).
 */
const GemmBfloat16: OpDefinition = {
  name: 'GemmBfloat16',
  domain: 'spinquant',
  infer([a, b, scale], attributes) {
    const [k, n] = intAttribute(attributes, 'transB') === 1 ? [b!.dim(1), b!.dim(0)] : [b!.dim(0), b!.dim(1)];
    if (a!.dim(1) !== k || (scale && scale.dim(0) !== b!.dim(0)))
      throw new Error(`GemmBfloat16: [${a!.dims}] × [${b!.dims}] with [${scale?.dims}]`);
    return [{ dtype: a!.dtype, dims: [a!.dim(0), n] }];
  },
  compose: ([a, codes, scale], attributes) => [
    gemm(a!, scaledRows({ codes: codes!, scale: scale ?? null }), {
      transB: intAttribute(attributes, 'transB') === 1,
    }),
  ],
};

/** diag(s) B in the graph's real type. */
export function scaledRows({ codes, scale }: ScaledRows): Value {
  return scale ? mul(toReal(codes), reshape(scale, [scale.dim(0), 1])) : toReal(codes);
}

/** A op(diag(s) B); op transposes where `transB` is set. */
function gemmBfloat16(a: Value, { codes, scale }: ScaledRows, transB: boolean): Value {
  return apply(GemmBfloat16, scale ? [a, codes, scale] : [a, codes], { transB: transB ? 1 : 0 });
}

/**
 * Products with bfloat16 weights as they are stored, instead of converting these to float32 first. What converted them
 * is left over if nothing else reads it: copy the graph once more to be rid of it.
 */
export const withBfloat16Weights: Rewrite = (node, inputs) => {
  if (node.op.name !== 'Gemm' || node.op.domain !== '') return null;
  const [a, b] = inputs as [Value, Value];
  const weight = sourceOf(b);
  const { attributes } = node;
  const plain = intAttribute(attributes, 'transA') === 0 && floatAttribute(attributes, 'alpha') === 1;
  if (!weight || !plain || products(node, a) < FEWEST_PRODUCTS) return null;
  return [gemmBfloat16(a, weight, intAttribute(attributes, 'transB') === 1)];
};

/** What {@link scaledRows} made the value of, or null. */
function sourceOf(value: Value): ScaledRows | null {
  const codes = convertedFrom(value);
  if (codes) return { codes, scale: null };
  if (value.node?.op.name !== 'Mul') return null;
  const [rows, factors] = value.node.inputs as [Value, Value];
  const scaled = convertedFrom(rows);
  const scale = factors.node?.op.name === 'Reshape' ? factors.node.inputs[0]! : null;
  const isPerRow = scale?.rank === 1 && factors.rank === 2 && factors.dim(1) === 1;
  return scaled && isPerRow ? { codes: scaled, scale } : null;
}

/** The bfloat16 tensor that the value is the conversion of, or null. */
function convertedFrom(value: Value): Value | null {
  const source = value.node?.op.name === 'Cast' ? value.node.inputs[0]! : null;
  return source?.dtype === 'bfloat16' ? source : null;
}

function products(node: Node, a: Value): number {
  return elementCount(node.outputs[0]!.dims) * a.dim(1);
}
