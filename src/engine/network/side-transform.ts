import { recordOf } from '../../protocol/records.ts';
import { elementCount } from '../../protocol/tensor.ts';
import { type HadamardTransform, hadamard } from '../graph/fused/hadamard.ts';
import { kronecker } from '../graph/fused/kronecker.ts';
import type { Value } from '../graph/graph.ts';
import { div, mul } from '../graph/ops/elementwise.ts';
import { gemm, matmul } from '../graph/ops/matmul.ts';
import { expand, reshape, slice, transpose, transposeLast } from '../graph/ops/shape.ts';
import { KRONECKER_NAMES, type KroneckerPart, kroneckerParts } from './kronecker.ts';

/** A linear map on the channels at one side of a weight: what gains and the maps at seams amount to there. */
export type SideTransform =
  | { readonly kind: 'identity' }
  /** diag(gain) [n]. */
  | { readonly kind: 'diagonal'; readonly gain: Value }
  /** A dense matrix [n, n]. */
  | { readonly kind: 'dense'; readonly matrix: Value }
  /** One [h, h] matrix on every head of h channels. */
  | { readonly kind: 'heads'; readonly matrix: Value }
  /** diag(gain) (left ⊗ right) of numbers that also hold its inverse transposed: which of both is said. */
  | { readonly kind: 'kronecker'; readonly own: KroneckerFactors; readonly inverse: KroneckerFactors }
  /**
   * A matrix [h, h] of [G, h, h] for each of G groups of heads: channels stand group by group, those of a group head by
   * head.
   */
  | { readonly kind: 'each-head'; readonly matrix: Value }
  /** A fixed Hadamard transform. */
  | { readonly kind: 'hadamard'; readonly transform: HadamardTransform }
  /** diag(gain) [n], then a fixed Hadamard transform. */
  | { readonly kind: 'scaled-hadamard'; readonly gain: Value; readonly transform: HadamardTransform }
  /**
   * `inner`, which acts on every head by itself, then a fixed Hadamard transform of the heads: x [T, H·h] as [T, H, h] is
   * multiplied along H. The two commute.
   */
  | {
      readonly kind: 'across-heads';
      readonly inner: SideTransform;
      readonly transform: HadamardTransform;
    };

/** gain [n], left [n₁, n₁] and right [n₂, n₂], n = n₁ n₂. */
export interface KroneckerFactors {
  /** A vector that begins with the three; absent where there is none. */
  readonly numbers?: Value;
  readonly gain: Value;
  readonly left: Value;
  readonly right: Value;
}

export const IDENTITY: SideTransform = { kind: 'identity' };

/** The map of a vector of numbers, laid out as {@link kroneckerParts} says. @param width channels n. */
export function kroneckerOf(numbers: Value, width: number): SideTransform {
  const part = ({ start, dims }: KroneckerPart): Value =>
    reshape(slice(numbers, 0, start, start + elementCount(dims)), dims);
  const { gain, left, right, leftInverse, rightInverse } = recordOf(KRONECKER_NAMES, (name) =>
    part(kroneckerParts(width)[name]),
  );
  return {
    kind: 'kronecker',
    own: { numbers, gain, left, right },
    inverse: { gain: div(gain.graph.scalar(1), gain), left: leftInverse, right: rightInverse },
  };
}

/** First a, then b. @throws Error for pairs that no table of seams puts behind each other. */
export function composed(a: SideTransform, b: SideTransform): SideTransform {
  if (a.kind === 'identity') return b;
  if (b.kind === 'identity') return a;
  if (b.kind === 'across-heads' && a.kind !== 'each-head') return { ...b, inner: composed(a, b.inner) };
  if (a.kind === 'diagonal' && b.kind === 'dense')
    return { kind: 'dense', matrix: mul(reshape(a.gain, [a.gain.dim(0), 1]), b.matrix) };
  if (a.kind === 'dense' && b.kind === 'diagonal')
    return { kind: 'dense', matrix: mul(a.matrix, reshape(b.gain, [1, b.gain.dim(0)])) };
  if (a.kind === 'diagonal' && (b.kind === 'heads' || b.kind === 'each-head')) return scaledHeads(a.gain, b);
  if (a.kind === 'diagonal' && b.kind === 'hadamard') return { ...b, kind: 'scaled-hadamard', gain: a.gain };
  if (a.kind === 'diagonal' && b.kind === 'diagonal') return { kind: 'diagonal', gain: mul(a.gain, b.gain) };
  if (b.kind === 'kronecker') return beforeKronecker(a, b);
  throw new Error(`no seam has ${a.kind} before ${b.kind}`);
}

function beforeKronecker(a: SideTransform, b: Kronecker): SideTransform {
  if (a.kind === 'dense') return { kind: 'dense', matrix: timesTransform(a.matrix, b) };
  if (a.kind !== 'diagonal') throw new Error(`no seam has ${a.kind} before ${b.kind}`);
  const withGain = ({ left, right, gain: own }: KroneckerFactors, gain: Value): KroneckerFactors => ({
    ...{ left, right, gain: mul(gain, own) },
  });
  const inverse = inverseTransposed(a) as typeof a;
  return { ...b, own: withGain(b.own, a.gain), inverse: withGain(b.inverse, inverse.gain) };
}

type Kronecker = Extract<SideTransform, { readonly kind: 'kronecker' }>;

/** diag(s_g) R_g for each head g that the gain [heads · h] has channels of. */
function scaledHeads(
  gain: Value,
  { matrix }: Extract<SideTransform, { readonly kind: 'heads' | 'each-head' }>,
): SideTransform {
  const h = matrix.dim(-1);
  const heads = gain.dim(0) / h;
  const groups = matrix.rank === 2 ? 1 : matrix.dim(0);
  // Query heads of a group share its matrix.
  const shared = expand(reshape(matrix, [groups, 1, h, h]), [groups, heads / groups, h, h]);
  const scales = reshape(gain, [heads, h, 1]);
  return { kind: 'each-head', matrix: mul(scales, reshape(shared, [heads, h, h])) };
}

/** The matrix of a transform that can be learned; null where nothing can. */
export function matrixOf(a: SideTransform): Value | null {
  if (a.kind === 'across-heads') return matrixOf(a.inner);
  return 'matrix' in a ? a.matrix : null;
}

/** T⁻ᵀ, which the readers of channels x T take. Orthogonal maps are their own. */
export function inverseTransposed(map: SideTransform): SideTransform {
  if (map.kind === 'across-heads') return { ...map, inner: inverseTransposed(map.inner) };
  if (map.kind === 'kronecker') return { ...map, own: map.inverse, inverse: map.own };
  if (map.kind !== 'diagonal' && map.kind !== 'scaled-hadamard') return map;
  return { ...map, gain: div(map.gain.graph.scalar(1), map.gain) };
}

/** Rows x [T, n] times A, or Aᵀ. */
export function timesTransform(x: Value, a: SideTransform, transB = false): Value {
  switch (a.kind) {
    case 'identity':
      return x;
    case 'diagonal':
      return mul(x, a.gain);
    case 'dense':
      return gemm(x, a.matrix, { transB });
    case 'heads':
      return perHead(x, a.matrix.dim(0), (rows) => gemm(rows, a.matrix, { transB }));
    case 'kronecker':
      return timesKronecker(x, a.own, transB);
    case 'each-head': {
      const turned = matmul(groupRows(x, a.matrix), transB ? transposeLast(a.matrix) : a.matrix);
      return ungrouped(turned, x.dims);
    }
    case 'hadamard':
      return hadamard(x, a.transform, transB);
    case 'scaled-hadamard':
      return transB ? mul(hadamard(x, a.transform, true), a.gain) : hadamard(mul(x, a.gain), a.transform);
    case 'across-heads':
      return acrossHeads(timesTransform(x, a.inner, transB), a.transform, transB);
  }
}

/** A row of x [T, n] as a matrix X [n₁, n₂]: Pᵀ₁ (diag(gain) X) P₂, or diag(gain) (P₁ X Pᵀ₂) for the transposed. */
function timesKronecker(x: Value, { gain, left, right }: KroneckerFactors, transB: boolean): Value {
  const [n1, n2] = [left.dim(0), right.dim(0)];
  const of = (matrix: Value, turned: boolean): Value => (turned ? transpose(matrix, [1, 0]) : matrix);
  const rows = reshape(transB ? x : mul(x, gain), [x.dim(0) * n1, n2]);
  const inner = reshape(gemm(rows, right, { transB }), [x.dim(0), n1, n2]);
  const y = reshape(matmul(of(left, !transB), inner), x.dims);
  return transB ? mul(y, gain) : y;
}

/** Rows x [T, n] times A, where nothing learns any more: a Kronecker product is one operator then. */
export function timesDeployed(x: Value, a: SideTransform): Value {
  const numbers = a.kind === 'kronecker' ? a.own.numbers : undefined;
  if (a.kind !== 'kronecker' || numbers === undefined) return timesTransform(x, a);
  return kronecker(x, numbers, a.own.left.dim(0));
}

/** x [T, H·h] as [T, H, h] times the transform of order H, or its transpose, along H. */
function acrossHeads(x: Value, transform: HadamardTransform, transB: boolean): Value {
  const [tokens, heads] = [x.dim(0), transform.block];
  const byChannel = transpose(reshape(x, [tokens, heads, x.dim(1) / heads]), [0, 2, 1]);
  return reshape(transpose(hadamard(byChannel, transform, transB), [0, 2, 1]), x.dims);
}

/** Rows x [T, n] times Aᵀ. */
export const timesTransposed = (x: Value, a: SideTransform): Value => timesTransform(x, a, true);

/** Lᵀ W for W [out, in]: the new output basis of a weight. */
export function transposedTimesWeight(l: SideTransform, w: Value): Value {
  switch (l.kind) {
    case 'identity':
      return w;
    case 'dense':
      return gemm(l.matrix, w, { transA: true });
    case 'heads': {
      const h = l.matrix.dim(0);
      const blocks = reshape(w, [w.dim(0) / h, h, w.dim(1)]);
      return reshape(matmul(transpose(l.matrix, [1, 0]), blocks), w.dims);
    }
    case 'each-head': {
      const [groups, h] = [l.matrix.dim(0), l.matrix.dim(1)];
      const blocks = reshape(w, [groups, h, w.dim(1)]);
      return reshape(matmul(transposeLast(l.matrix), blocks), w.dims);
    }
    case 'diagonal':
      return mul(reshape(l.gain, [l.gain.dim(0), 1]), w);
    case 'kronecker':
    case 'hadamard':
    case 'scaled-hadamard':
    case 'across-heads':
      throw new Error(`no map of ours is ${l.kind} on the output side of a weight`);
  }
}

/**
 * ∂loss/∂A for a map whose loss depends on A through y = f(p Aᵀ…): the sum over tokens of pᵀ x, taken per head
 * where A is one matrix for all heads, or per group of heads. @returns null for transforms that are not learned.
 */
export function outerGradient(p: Value, x: Value, a: SideTransform): Value | null {
  switch (a.kind) {
    case 'dense':
      return gemm(p, x, { transA: true });
    case 'heads': {
      const h = a.matrix.dim(0);
      return gemm(headRows(p, h), headRows(x, h), { transA: true });
    }
    case 'each-head':
      return matmul(transposeLast(groupRows(p, a.matrix)), groupRows(x, a.matrix));
    // With A = B C, C fixed, ∂loss/∂B = ∂loss/∂A Cᵀ.
    case 'across-heads':
      return outerGradient(p, acrossHeads(x, a.transform, true), a.inner);
    default:
      return null;
  }
}

function headRows(x: Value, h: number): Value {
  return reshape(x, [(x.dim(0) * x.dim(1)) / h, h]);
}

/** Rows x [T, G·r·h] as the rows of each group's heads [G, T·r, h]. @param matrix [G, h, h]. */
function groupRows(x: Value, matrix: Value): Value {
  const [groups, h] = [matrix.dim(0), matrix.dim(1)];
  const [tokens, width] = [x.dim(0), x.dim(1)];
  const heads = width / (groups * h);
  const byGroup = transpose(reshape(x, [tokens, groups, heads * h]), [1, 0, 2]);
  return reshape(byGroup, [groups, tokens * heads, h]);
}

/** The inverse: [G, T·r, h] as rows [T, G·r·h]. */
function ungrouped(rows: Value, dims: readonly number[]): Value {
  const [tokens, width] = dims as [number, number];
  const groups = rows.dim(0);
  return reshape(transpose(reshape(rows, [groups, tokens, width / groups]), [1, 0, 2]), dims);
}

function perHead(x: Value, h: number, map: (rows: Value) => Value): Value {
  return reshape(map(headRows(x, h)), x.dims);
}
