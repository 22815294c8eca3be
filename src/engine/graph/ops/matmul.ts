import {
  type Attributes,
  apply,
  floatAttribute,
  intAttribute,
  type OpDefinition,
  type Value,
} from '../graph.ts';
import { broadcast } from './elementwise.ts';
import { sumTo } from './reduce.ts';
import { transposeLast } from './shape.ts';

const MatMul: OpDefinition = {
  name: 'MatMul',
  domain: '',
  infer(inputs) {
    const [a, b] = inputs as [Value, Value];
    if (a.dim(-1) !== b.dim(-2)) throw new Error(`MatMul: [${a.dims}] × [${b.dims}]`);
    const batch = broadcast(a.dims.slice(0, -2), b.dims.slice(0, -2));
    return [{ dtype: a.dtype, dims: [...batch, a.dim(-2), b.dim(-1)] }];
  },
  // y = a b: ∂a = dy bᵀ, ∂b = aᵀ dy, summed over broadcast batch axes.
  gradient(node, [dy], wanted) {
    const [a, b] = node.inputs as [Value, Value];
    return [
      wanted[0] ? sumTo(matmul(dy!, transposeLast(b)), a.dims) : null,
      wanted[1] ? sumTo(matmul(transposeLast(a), dy!), b.dims) : null,
    ];
  },
};

/** Multiplies matrices over the last two axes; leading axes broadcast. */
export function matmul(a: Value, b: Value): Value {
  return apply(MatMul, [a, b]);
}

export interface GemmOptions {
  readonly transA?: boolean;
  readonly transB?: boolean;
  readonly alpha?: number;
}

function options(attributes: Attributes): Required<GemmOptions> {
  return {
    transA: intAttribute(attributes, 'transA') === 1,
    transB: intAttribute(attributes, 'transB') === 1,
    alpha: floatAttribute(attributes, 'alpha'),
  };
}

/** Returns [M, N] of op(a) op(b), for operators with attributes transA and transB. */
export function gemmDims(name: string, a: Value, b: Value, attributes: Attributes): number[] {
  const [transA, transB] = [
    intAttribute(attributes, 'transA') === 1,
    intAttribute(attributes, 'transB') === 1,
  ];
  const [m, k] = transA ? [a.dim(1), a.dim(0)] : [a.dim(0), a.dim(1)];
  const [k2, n] = transB ? [b.dim(1), b.dim(0)] : [b.dim(0), b.dim(1)];
  if (k !== k2) throw new Error(`${name}: [${a.dims}]${transA ? 'ᵀ' : ''} × [${b.dims}]${transB ? 'ᵀ' : ''}`);
  return [m, n];
}

const Gemm: OpDefinition = {
  name: 'Gemm',
  domain: '',
  infer(inputs, attributes) {
    const [a, b] = inputs as [Value, Value];
    return [{ dtype: a.dtype, dims: gemmDims('Gemm', a, b, attributes) }];
  },
  // y = α A B with A = op(a), B = op(b): ∂A = α dy Bᵀ, ∂B = α Aᵀ dy; the transposes are then folded in.
  gradient(node, [dy], wanted) {
    const [a, b] = node.inputs as [Value, Value];
    const { transA, transB, alpha } = options(node.attributes);
    const da = () =>
      transA
        ? gemm(b, dy!, { transA: transB, transB: true, alpha })
        : gemm(dy!, b, { transB: !transB, alpha });
    const db = () =>
      transB
        ? gemm(dy!, a, { transA: true, transB: transA, alpha })
        : gemm(a, dy!, { transA: !transA, alpha });
    return [wanted[0] ? da() : null, wanted[1] ? db() : null];
  },
};

/** Computes α·op(a)·op(b) for two matrices; op is a transpose where `transA` or `transB` is set. */
export function gemm(
  a: Value,
  b: Value,
  { transA = false, transB = false, alpha = 1 }: GemmOptions = {},
): Value {
  return apply(Gemm, [a, b], {
    transA: transA ? 1 : 0,
    transB: transB ? 1 : 0,
    alpha: { float: alpha },
    beta: { float: 0 },
  });
}
