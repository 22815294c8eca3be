import { elementCount } from '../../../protocol/tensor.ts';
import { apply, floatAttribute, intAttribute, type OpDefinition, type Value } from '../graph.ts';
import { add, scale, sub } from '../ops/elementwise.ts';
import { matmul } from '../ops/matmul.ts';
import { concat, reshape, slice } from '../ops/shape.ts';

/** An orthogonal transform of order block = order · 2^m, as the operator needs it (rotation/hadamard-plan.ts). */
export interface HadamardTransform {
  /** The length of one transform divides the last axis, which is cut into independent blocks. */
  readonly block: number;
  /** Order K of the dense ±1 factor; 1 for a pure Sylvester matrix. */
  readonly order: number;
  /** K×K entries ±1, row-major; null for order 1. */
  readonly matrix: Int8Array | null;
}

/**
 * Each block z of the last axis, viewed row-major as Z [K, 2^m], becomes Y = (H_K · Z · H_{2^m}) / √block.
 * As a row-vector map this is z ↦ z M with M = (H_Kᵀ ⊗ H_{2^m})/√block, which is orthogonal.
 */
export const Hadamard: OpDefinition = {
  name: 'Hadamard',
  domain: 'spinquant',
  infer: (inputs) => [{ dtype: inputs[0]!.dtype, dims: inputs[0]!.dims }],
  // The map is linear: the derivative applies the transpose.
  gradient(node, [dy]) {
    const { attributes } = node;
    const transpose = 1 - intAttribute(attributes, 'transpose');
    return [apply(Hadamard, [dy!, ...node.inputs.slice(1)], { ...attributes, transpose }), null];
  },
  compose(inputs, attributes) {
    const [x, matrix] = inputs as [Value, Value | undefined];
    const block = intAttribute(attributes, 'block');
    const order = intAttribute(attributes, 'order');
    let z = reshape(x, [elementCount(x.dims) / block, order, block / order]);
    for (let half = 1; half < block / order; half *= 2) z = butterfly(z, half);
    if (matrix) {
      const m = intAttribute(attributes, 'transpose') === 1 ? transposeMatrix(matrix) : matrix;
      z = matmul(m, z);
    }
    return [scale(reshape(z, x.dims), floatAttribute(attributes, 'scale'))];
  },
};

/** A stage of the fast Walsh–Hadamard transform combines pairs at distance `half` on the last axis of [rows, K, n]. */
function butterfly(z: Value, half: number): Value {
  const [rows, order, n] = z.dims as [number, number, number];
  const pairs = reshape(z, [rows * order, n / (2 * half), 2, half]);
  const a = slice(pairs, 2, 0, 1);
  const b = slice(pairs, 2, 1, 2);
  return reshape(concat([add(a, b), sub(a, b)], 2), z.dims);
}

function transposeMatrix(matrix: Value): Value {
  const { data } = matrix.constant!;
  const k = matrix.dim(0);
  const transposed = Float64Array.from({ length: k * k }, (_, i) =>
    Number(data[(i % k) * k + Math.floor(i / k)]),
  );
  return matrix.graph.reals([k, k], transposed);
}

/** Multiplies the last axis by the transform (inverse: by its transpose). A block of 1 is the identity. */
export function hadamard(x: Value, transform: HadamardTransform, inverse = false): Value {
  const { block, order, matrix } = transform;
  if (block === 1) return x;
  if (x.dim(-1) % block !== 0) throw new Error(`Hadamard: block ${block} does not divide ${x.dim(-1)}`);
  const inputs = matrix ? [x, x.graph.reals([order, order], matrix)] : [x];
  return apply(Hadamard, inputs, {
    block,
    order,
    scale: { float: 1 / Math.sqrt(block) },
    transpose: inverse ? 1 : 0,
  });
}
