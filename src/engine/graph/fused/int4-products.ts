/** Products with weights of 4 bits together with what stands before and behind them in a layer. */
import { type Attributes, apply, type Node, type OpDefinition, type Value } from '../graph.ts';
import { add } from '../ops/elementwise.ts';
import type { Rewrite } from '../rebuild.ts';
import { Hadamard } from './hadamard.ts';
import { Int4MatMul, normedRows, packedProduct, packedProducts, quantizedRows } from './int4-matmul.ts';
import { Kronecker } from './kronecker.ts';
import { RmsNorm } from './rms-norm.ts';
import { SwiGlu } from './swiglu.ts';
import type { Uses } from './uses.ts';

/** addend + Int4MatMul(x) with one weight: inputs are the addend, x, bytes and grid. */
export const Int4MatMulAdd: OpDefinition = {
  name: 'Int4MatMulAdd',
  domain: 'spinquant',
  infer: ([addend]) => [{ dtype: addend!.dtype, dims: addend!.dims }],
  compose: ([addend, x, bytes, grid], attributes) => [
    add(addend!, packedProduct(quantizedRows(x!, attributes), bytes!, grid!, attributes)),
  ],
};

/**
 * Int4MatMul of SwiGlu(gate, up), in blocks that Hadamard transforms where there is `block`, plus an addend: inputs are
 * gate, up, bytes, grid, the matrix of Hadamard ([1, 1] for order 1) and the addend. The last ones may be left out.
 * Attributes are those of both operators. The kernel makes one row after the other, to the bits of those operators.
 */
export const SwiGluInt4MatMul: OpDefinition = {
  name: 'SwiGluInt4MatMul',
  domain: 'spinquant',
  infer: ([gate], attributes) => [
    { dtype: gate!.dtype, dims: gate!.dims.with(-1, attributes.rows as number) },
  ],
  compose([gate, up, bytes, grid, matrix, addend], attributes) {
    const [product] = SwiGlu.compose!([gate!, up!], {});
    const blocks = attributes.block === undefined ? [product!] : transformed(product!, matrix, attributes);
    const result = packedProduct(quantizedRows(blocks[0]!, attributes), bytes!, grid!, attributes);
    return [addend ? add(addend, result) : result];
  },
};

/**
 * Int4MatMul of Kronecker(x), or of Kronecker(RmsNorm(x)) with `norm`: inputs are x, the numbers of Kronecker, and up to
 * three weights. Attributes are those of both operators.
 */
export const KroneckerInt4MatMul: OpDefinition = {
  ...Int4MatMul,
  name: 'KroneckerInt4MatMul',
  compose([x, numbers, ...weights], attributes) {
    const [mapped] = Kronecker.compose!([normedRows(x!, attributes), numbers!], attributes);
    return packedProducts(mapped!, weights, attributes);
  },
};

/**
 * Int4MatMul of Kronecker(SwiGlu(gate, up)), plus an addend: inputs are gate, up, the numbers of Kronecker, bytes, grid and
 * the addend, which may be left out.
 */
export const SwiGluKroneckerInt4MatMul: OpDefinition = {
  ...SwiGluInt4MatMul,
  name: 'SwiGluKroneckerInt4MatMul',
  compose([gate, up, numbers, bytes, grid, addend], attributes) {
    const [product] = SwiGlu.compose!([gate!, up!], {});
    const [mapped] = Kronecker.compose!([product!, numbers!], attributes);
    const result = packedProduct(quantizedRows(mapped!, attributes), bytes!, grid!, attributes);
    return [addend ? add(addend, result) : result];
  },
};

function transformed(x: Value, matrix: Value | undefined, attributes: Attributes): Value[] {
  const hasMatrix = matrix !== undefined && attributes.order !== 1;
  return Hadamard.compose!(hasMatrix ? [x, matrix] : [x], attributes);
}

/**
 * Puts RmsNorm, SwiGlu, Kronecker and Hadamard before a product with packed weights into it, and the addition behind it, where
 * nothing else reads what lies between. Nodes that are left over go when the graph is copied next.
 * @param uses of the graph that is rewritten.
 */
export function withInt4Neighbours(uses: Uses): Rewrite {
  return (node, inputs) => {
    if (node.op === Int4MatMul) return withRowsBefore(node, inputs, uses);
    if (node.op.name === 'Add' && node.op.domain === '') return withAddend(node, inputs, uses);
    return null;
  };
}

/** @param inputs copies of the node's, made by nodes like those of the source. */
function withRowsBefore(node: Node, inputs: readonly Value[], uses: Uses): Value[] | null {
  const [x, ...weights] = inputs as [Value, ...Value[]];
  const source = node.inputs[0]!;
  if (uses(source) !== 1) return null;
  if (x.node?.op === RmsNorm)
    return x.graph.apply(
      Int4MatMul,
      [x.node.inputs[0]!, ...weights],
      withNorm(node.attributes, x.node.attributes),
    );
  if (x.node?.op === Kronecker) return withMapBefore(node, x.node, weights, uses);
  if (weights.length > 2) return null;
  if (x.node?.op === SwiGlu)
    return [apply(SwiGluInt4MatMul, [...x.node.inputs, ...weights], node.attributes)];
  if (x.node?.op !== Hadamard) return null;
  const [product, matrix = x.graph.reals([1, 1], [1])] = x.node.inputs as [Value, Value?];
  if (product.node?.op !== SwiGlu || uses(source.node?.inputs[0]) !== 1) return null;
  return [
    apply(SwiGluInt4MatMul, [...product.node.inputs, ...weights, matrix], {
      ...node.attributes,
      ...x.node.attributes,
    }),
  ];
}

const withNorm = (own: Attributes, { epsilon }: Attributes): Attributes => ({
  ...own,
  ...{ norm: 1, epsilon: epsilon! },
});

/** A product of what a map gives, with what stands before the map. @param map the copy of the map's node. */
function withMapBefore(node: Node, map: Node, weights: readonly Value[], uses: Uses): Value[] {
  const [x, numbers] = map.inputs as [Value, Value];
  const attributes = { ...node.attributes, ...map.attributes };
  const before = uses(node.inputs[0]!.node?.inputs[0]) === 1 ? x.node : null;
  if (before?.op === SwiGlu && weights.length === 2)
    return [apply(SwiGluKroneckerInt4MatMul, [...before.inputs, numbers, ...weights], attributes)];
  if (before?.op !== RmsNorm) return x.graph.apply(KroneckerInt4MatMul, [x, numbers, ...weights], attributes);
  const normed = withNorm(attributes, before.attributes);
  return x.graph.apply(KroneckerInt4MatMul, [before.inputs[0]!, numbers, ...weights], normed);
}

/** The product that is computed last takes in the other summand. */
function withAddend(node: Node, inputs: readonly Value[], uses: Uses): Value[] | null {
  for (const index of [1, 0]) {
    const [product, addend] = [inputs[index]!, inputs[1 - index]!];
    const fits = addend.dtype === product.dtype && String(addend.dims) === String(product.dims);
    if (!fits || !product.node || uses(node.inputs[index]) !== 1) continue;
    const { op, inputs: own, attributes } = product.node;
    if (op === Int4MatMul && own.length === 3 && attributes.norm === undefined)
      return [apply(Int4MatMulAdd, [addend, ...own], attributes)];
    if (op === SwiGluKroneckerInt4MatMul && own.length === 5)
      return [apply(op, [...own, addend], attributes)];
    if (op !== SwiGluInt4MatMul || own.length > 5) continue;
    const matrix = own[4] ?? addend.graph.reals([1, 1], [1]);
    return [apply(SwiGluInt4MatMul, [...own.slice(0, 4), matrix, addend], attributes)];
  }
  return null;
}
