import { elementCount } from '../../../protocol/tensor.ts';
import {
  type Attributes,
  apply,
  floatAttribute,
  type Graph,
  intAttribute,
  type Node,
  type OpDefinition,
  type Value,
} from '../graph.ts';
import { add, mul } from '../ops/elementwise.ts';
import { gemm, gemmDims } from '../ops/matmul.ts';
import { reshape, toReal } from '../ops/shape.ts';
import type { Rewrite } from '../rebuild.ts';
import { codesOf, rowMultiples, unitsOf } from './row-codes.ts';

/** Below this many multiply-adds, distributing the work takes longer than it saves. */
const FEWEST_PRODUCTS = 2 ** 18;

/** bfloat16 numbers that stand for a float32 one. */
export type Pieces = 1 | 2 | 3;

/**
 * Attributes of a product in so many pieces; or in `bytes`, both factors as whole numbers of 8 bits times a unit for each
 * row and block of the depth. Where these have no kernel, it takes one piece.
 */
const formOf = (form: Pieces | 'bytes') =>
  form === 'bytes' ? ({ pieces: 1, bytes: 1 } as const) : ({ pieces: form } as const);

/** Rows in bfloat16; each has a factor where they are codes of quantized weights. */
export interface ScaledRows {
  /** [rows, columns], bfloat16. */
  readonly codes: Value;
  /** [rows], or null for factors of 1. */
  readonly scale: Value | null;
}

/**
 * Computes C = A op(diag(s) B): A is float32 [M, K] in this many `pieces`, B is bfloat16, s is float32 or absent. With
 * three pieces products are exact; with two they are off by at most 2^-16 of each, with one by 2^-8. Given the units of
 * A's rows (transB = 1), A's multiples of them are multiplied, exactly. Sums are float32
 * (native-kernels/ops/gemm_bfloat16).
 */
export const GemmBfloat16: OpDefinition = {
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

/** C = A op(B) + D. */
export const GemmBfloat16Add: OpDefinition = {
  name: 'GemmBfloat16Add',
  domain: 'spinquant',
  infer: ([, , addend]) => [{ dtype: addend!.dtype, dims: addend!.dims }],
  compose: ([a, b, addend], attributes) => [
    add(gemm(a!, toReal(b!), { transB: intAttribute(attributes, 'transB') === 1 }), addend!),
  ],
};

/** Adds a tensor of the same shape to a product with bfloat16 weights in one pass, if nothing else uses the product. */
export function withAddedProducts(graph: Graph, outputs: readonly Value[]): Rewrite {
  const uses = new Map<Value, number>();
  for (const value of [...outputs, ...graph.nodes.flatMap(({ inputs }) => inputs)])
    uses.set(value, (uses.get(value) ?? 0) + 1);
  return (node, inputs) => {
    if (node.op.name !== 'Add' || node.op.domain !== '') return null;
    // If both are products, the one computed last absorbs the other.
    for (const index of [1, 0]) {
      const [product, addend] = [inputs[index]!, inputs[1 - index]!];
      const isProduct = product.node?.op === GemmBfloat16 && product.node.inputs.length === 2;
      const fits = addend.dtype === 'float32' && String(addend.dims) === String(product.dims);
      if (isProduct && fits && uses.get(node.inputs[index]!) === 1) {
        const { inputs: factors, attributes } = product.node!;
        return [apply(GemmBfloat16Add, [...factors, addend], attributes)];
      }
    }
    return null;
  };
}

/** Computes diag(s) B in the graph's real type. */
export function scaledRows({ codes, scale }: ScaledRows): Value {
  return scale ? mul(toReal(codes), reshape(scale, [scale.dim(0), 1])) : toReal(codes);
}

/**
 * Computes C = op(A) op(B) in float32. Each factor is the sum of two bfloat16 numbers, or with one of `pieces` a single
 * one: off by at most 3·2^-16 of each product, or 3·2^-8. The rows of A (transA = 0), or with `unitsOfB` those of B
 * (transB = 0), may come with units. That factor is then taken exactly, as multiples of its units, and the other one in
 * this many `pieces`.
 */
export const SplitGemm: OpDefinition = {
  name: 'SplitGemm',
  domain: 'spinquant',
  infer: ([a, b], attributes) => [{ dtype: a!.dtype, dims: gemmDims('SplitGemm', a!, b!, attributes) }],
  compose: ([a, b], attributes) => [
    gemm(a!, b!, {
      transA: intAttribute(attributes, 'transA') === 1,
      transB: intAttribute(attributes, 'transB') === 1,
    }),
  ],
};

/**
 * Computes diag(s) codes · op(M), or op(M) · diag(s) codes where `codesOfB` is set. Codes are int8 with a scale per
 * row, taken exactly; M is float32 in this many `pieces`.
 */
export const CodeGemm: OpDefinition = {
  name: 'CodeGemm',
  domain: 'spinquant',
  infer([codes, scales, other], attributes) {
    const [a, b, transposed] = ofCodes(codes!, other!, attributes);
    return [{ dtype: scales!.dtype, dims: gemmDims('CodeGemm', a, b, transposed) }];
  },
  compose([codes, scales, other], attributes) {
    const [a, b, { transA, transB }] = ofCodes(rowMultiples(codes!, scales!), other!, attributes);
    return [gemm(a, b, { transA: transA === 1, transB: transB === 1 })];
  },
};

/** Returns the factors in their order with their transpositions. */
function ofCodes(codes: Value, other: Value, attributes: Attributes) {
  const transpose = intAttribute(attributes, 'transposeOther');
  return intAttribute(attributes, 'codesOfB') === 1
    ? ([other, codes, { transA: transpose, transB: 0 }] as const)
    : ([codes, other, { transA: 0, transB: transpose }] as const);
}

/**
 * Returns the product in tiles of bfloat16, or null. bfloat16 weights are used as they are stored, not converted to
 * float32 first; with fewer than three `pieces`, any other product is in tiles too. A conversion that nothing reads any
 * longer stays in the graph: copy the graph once more to remove it.
 */
export function gemmInTiles(node: Node, [a, b]: readonly Value[], form: Pieces | 'bytes'): Value[] | null {
  if (node.op.name !== 'Gemm' || node.op.domain !== '') return null;
  const { attributes } = node;
  const pieces = formOf(form);
  if (floatAttribute(attributes, 'alpha') !== 1 || products(node, a!) < FEWEST_PRODUCTS) return null;
  const [transA, transB] = [intAttribute(attributes, 'transA'), intAttribute(attributes, 'transB')];
  const unitsOfA = transA === 0 ? unitsOf(a!) : null;
  const weight = transA === 0 ? sourceOf(b!) : null;
  if (weight) {
    const { codes, scale } = weight;
    const given = scale ? [a!, codes, scale] : [a!, codes];
    const withUnits = unitsOfA && scale && transB === 1;
    return [apply(GemmBfloat16, withUnits ? [...given, unitsOfA] : given, { transB, ...pieces })];
  }
  const codesOfA = transA === 0 ? codesOf(a!) : null;
  if (codesOfA)
    return [apply(CodeGemm, [...codesOfA, b!], { codesOfB: 0, transposeOther: transB, ...pieces })];
  const codesOfB = transB === 0 ? codesOf(b!) : null;
  if (codesOfB)
    return [apply(CodeGemm, [...codesOfB, a!], { codesOfB: 1, transposeOther: transA, ...pieces })];
  const split = { transA, transB, ...pieces };
  if (unitsOfA) return [apply(SplitGemm, [a!, b!, unitsOfA], { ...split, unitsOfB: 0 })];
  const unitsOfB = transB === 0 ? unitsOf(b!) : null;
  if (unitsOfB) return [apply(SplitGemm, [a!, b!, unitsOfB], { ...split, unitsOfB: 1 })];
  return pieces.pieces < 3 ? [apply(SplitGemm, [a!, b!], { ...split, unitsOfB: 0 })] : null;
}

/**
 * Returns the product where one factor is codes: with the other one in whole numbers of 16 bits, or exactly where that is
 * made of multiples of units. Else null.
 */
export function gemmWithCodes(node: Node, [a, b]: readonly Value[]): Value[] | null {
  if (node.op.name !== 'Gemm' || node.op.domain !== '') return null;
  const { attributes } = node;
  if (floatAttribute(attributes, 'alpha') !== 1 || products(node, a!) < FEWEST_PRODUCTS) return null;
  const [transA, transB] = [intAttribute(attributes, 'transA'), intAttribute(attributes, 'transB')];
  if (transA === 1) return null;
  const codesOfA = codesOf(a!);
  if (codesOfA && transB === 1)
    return [apply(CodeGemm, [...codesOfA, b!], { codesOfB: 0, transposeOther: transB, pieces: 2 })];
  const weight = sourceOf(b!);
  const units = transB === 1 ? unitsOf(a!) : null;
  if (!weight || !(weight.scale || units)) return null;
  const scale = weight.scale ?? ones(a!.graph, weight.codes.dim(0));
  const given = [a!, weight.codes, scale];
  return [apply(GemmBfloat16, units ? [...given, units] : given, { transB, pieces: 2 })];
}

const ones = (graph: Graph, count: number): Value => graph.reals([count], new Float32Array(count).fill(1));

/** Returns the rows from which {@link scaledRows} made the value, or null. */
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

/** Returns the bfloat16 tensor that was converted to this value, or null. */
function convertedFrom(value: Value): Value | null {
  const source = value.node?.op.name === 'Cast' ? value.node.inputs[0]! : null;
  return source?.dtype === 'bfloat16' ? source : null;
}

/** Counts the multiply-adds. */
function products(node: Node, a: Value): number {
  const depth = a.dim(intAttribute(node.attributes, 'transA') === 1 ? 0 : 1);
  return elementCount(node.outputs[0]!.dims) * depth;
}
